"""How much is taken of anything that a host, or a stranger's file, has to say; sizes in bytes."""

__all__ = [
    "ANSWER",
    "ARCHIVE",
    "DEPTH",
    "EVIDENCE",
    "EXPORT",
    "EXPORT_RUNS",
    "EXPORT_UNPACKED",
    "FILE",
    "FILES",
    "INVENTORY",
    "INVENTORY_ANSWER",
    "INVENTORY_CPU",
    "INVENTORY_FILES",
    "INVENTORY_MEMORY",
    "INVENTORY_SECONDS",
    "JSON_FILE",
    "LINE",
    "LINES",
    "LISTED",
    "LOG_LINES",
    "MEMORY",
    "RUNS",
    "TEXT",
    "VALUES",
    "VARIABLES",
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

INVENTORY = 64 * MIB
"""An inventory's files together, with the variables beside them."""
INVENTORY_FILES = 100_000
"""So many files of it."""
INVENTORY_MEMORY = 1024 * MIB
"""Of the process that reads it, and of each program that it asks; a hundred thousand hosts take a seventh of that."""
INVENTORY_CPU = 10
"""Seconds of a processor to read it; ten thousand hosts take two."""
INVENTORY_SECONDS = 60
"""Until it is read: a program may have to ask a cloud for it."""
INVENTORY_ANSWER = 128 * MIB
"""What it means, written out: the variables of all hosts."""

VARIABLES = MIB
"""A file of variables, for -e."""

ARCHIVE = 32 * MIB
"""A run's evidence, packed; that of an honest run has less than one."""
EVIDENCE = 128 * MIB
"""A run's evidence, all of its files together."""
EXPORT = 512 * MIB
"""Runs with their evidence, as `export --evidence` writes them; three thousand honest ones."""
EXPORT_RUNS = 5000
"""So many of them."""
EXPORT_UNPACKED = 16 * 1024 * MIB
"""Their evidence, unpacked; each is judged by itself, and no more than one is in memory."""
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
