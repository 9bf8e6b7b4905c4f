"""No function is too long, or branches too often, to be read at once: what it does is done in parts that have names."""

from pathlib import Path

import lizard

ROOT = Path(__file__).parents[2]
PLACES = ("provisioner", "plugins", "bin", "benchmarks", "roles")
MOST_BRANCHES, MOST_LINES = 15, 60
"""Cyclomatic complexity, and lines from a function's first to its last: `lizard -C 15 -L 60`."""


def test_no_function_branches_too_often_or_is_too_long():
    paths = {place: sorted((ROOT / place).rglob("*.py")) for place in PLACES}
    assert all(paths.values())
    above = [
        f"{path.relative_to(ROOT)}:{function.start_line}: {function.name} has complexity "
        f"{function.cyclomatic_complexity} and {function.length} lines"
        for path in (path for place in PLACES for path in paths[place])
        for function in lizard.analyze_file(str(path)).function_list
        if function.cyclomatic_complexity > MOST_BRANCHES or function.length > MOST_LINES
    ]
    told = "\n".join(above)
    assert not above, f"more than {MOST_BRANCHES} or {MOST_LINES}; take apart:\n{told}"
