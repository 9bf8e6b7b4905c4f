"""The command line as data: options are read by it, and completion and the manual page are made of it."""
