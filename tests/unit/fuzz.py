"""What the fuzzers share: values that nobody thought of, and how long they go on.

By default they are the same values each time, so few that all of it takes less than a minute of one processor.
FUZZ=1000 takes a thousand others for each test, new ones each time.
"""

import json
import os
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

DATA = Path(__file__).parent / "data"

FUZZ = int(os.environ.get("FUZZ", "0"))


def examples(number):
    """So many examples, a test's own; FUZZ asks for others."""
    return settings(
        max_examples=FUZZ or number,
        derandomize=not FUZZ,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


NASTY = [
    *(
        "",
        " ",
        "-",
        "--",
        ".",
        "..",
        "../x",
        "/",
        "~",
        "~nosuchuser/x",
        "\0",
        "\n",
        "a\nb",
        "\x1b[31m",
        "\u202e",
        "é" * 200,
    ),
    *(
        "x" * 300,
        "x" * 5000,
        "9" * 5000,
        "1" + "0" * 30,
        "-1",
        "0",
        "1e400",
        "nan",
        "٣",
        "0x10",
        "a=b",
        "=",
        "@",
        "@failed",
    ),
    *("[", "[!]", "h[0:9:0]", "h[0:999999999],", "*" * 200, "~(", "!", "&", ":", ",", "a..b", "x@..", "@999999999999d"),
    *("9" * 12 + "d", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "runs[::0]", "sum(@)", "{{ 1/0 }}"),
    *("[" * 3000, "(" * 3000, "!" * 3000, '{"a": ' * 3000, "\ud800", "\udcff", "🦀"),
]
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=40))

NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 10**30, 10**400, 1e308, -1e308, float("nan")])
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def altered(draw, value):
    """A copy of a JSON value with something in it that is other than it was, or gone, or more than it was."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        at = value
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and at[key] and draw(st.booleans()):
                at = at[key]
                continue
            change = draw(st.sampled_from(["other", "gone", "more"]))
            if change == "gone":
                del at[key]
            elif change == "other" or isinstance(at, list):
                at[key] = draw(VALUES)
            else:
                at[draw(TEXTS)] = draw(VALUES)
            break
    return value


@st.composite
def spoilt(draw, text):
    """A text with lines of it gone, doubled, cut or put elsewhere, and others between them."""
    lines = text.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines)))
        until = min(len(lines), at + draw(st.integers(0, 30)))
        part = lines[at:until]
        change = draw(st.sampled_from(["gone", "again", "cut", "moved", "other"]))
        if change == "gone":
            lines[at:until] = []
        elif change == "again":
            lines[at:at] = part * 3
        elif change == "cut":
            lines[at:until] = [line[: draw(st.integers(0, 80))] for line in part]
        elif change == "moved":
            lines = lines[:at] + lines[until:] + part
        else:
            lines.insert(at, draw(TEXTS) + "\n")
    return "".join(lines)
