"""Whether the sources of a host give what `prepare` and a run will ask them for.

`questions` has what each kind of source is asked, `image` how an image is asked for, `asking` asks, and `findings` has
the form of what is told. A folder of its own, since only action host_checks needs it: what lies beside it travels with
every look.
"""
