"""How much is taken of anything that a host, or a stranger's file, has to say; sizes in bytes."""

__all__ = [
    "ANSWER",
    "ARCHIVE",
    "DEPTH",
    "EVIDENCE",
    "FILE",
    "FILES",
    "JSON_FILE",
    "LINE",
    "LINES",
    "LISTED",
    "LOG_LINES",
    "MEMORY",
    "RUNS",
    "TEXT",
    "VALUES",
]

MIB = 2**20

LINE = 4000
"""Characters of a line that is printed."""
TEXT = 500
"""Characters of one thing within it that somebody else wrote: a message, a cell of a table."""

ANSWER = 4 * MIB
"""What a host answers to a look; an honest answer has some kilobytes."""
VALUES = 50_000
"""Values in an answer, however they are nested."""
LISTED = 10_000
"""Entries of a list in an answer: runs, changes, findings."""
DEPTH = 16
"""Lists and objects within each other in an answer; folders within each other in an archive."""
MEMORY = 512 * MIB
"""More than it has when it begins, of a process that asks a host: it ends there, and nothing else does."""

ARCHIVE = 32 * MIB
"""A run's evidence, packed; that of an honest run has less than one."""
EVIDENCE = 128 * MIB
"""A run's evidence, all of its files together."""
FILE = 32 * MIB
"""One file of it."""
JSON_FILE = 16 * MIB
"""One file of JSON, which takes many times its size in memory."""
LINES = 100_000
"""Lines of a file of it that is read line by line: a day of samples, one a second."""
LOG_LINES = 1_000_000
"""Lines of its log."""
FILES = 10_000
"""Files and folders of a run's evidence."""
RUNS = 100
"""Runs that one command brings from a host."""
