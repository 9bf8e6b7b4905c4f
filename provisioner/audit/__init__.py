"""The audit: a run's evidence in, a verdict out, offline and repeatable.

judge.py gives the verdict; rules.py is the table of the checks and what each applies to, and checks/ has them, a file a
subject; shipped.py knows the files that runs were made of. What each check proves, and what it cannot, is in
docs/audit.md.
"""
