"""Host names as ranges, and hosts with the same answer."""

import random
import re

import pytest

from provisioner.text import ranges
from provisioner.view import alike


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], []),
        (["localhost"], ["localhost"]),
        (["gpu-07", "gpu-19"], ["gpu-[07,19]"]),
        (["gpu-1", "gpu-2", "gpu-3", "gpu-7"], ["gpu-[1-3,7]"]),
        (["h9", "h10", "h8"], ["h[8-10]"]),
        (["h09", "h10", "h9"], ["h[9,09-10]"]),  # h09 and h9 are two hosts
        (["a1.example.org", "a2.example.org", "b1.example.org"], ["a[1-2].example.org", "b1.example.org"]),
        (["r1-n1", "r1-n2", "r2-n1", "r2-n2"], ["r[1-2]-n[1-2]"]),
        (["r1-n1", "r1-n2", "r2-n1"], ["r1-n[1-2]", "r2-n1"]),
        (["10.0.0.9", "10.0.0.10", "10.0.1.1"], ["10.0.0.[9-10]", "10.0.1.1"]),
        (["h1", "h1"], ["h1"]),
        (["a,b", "@x", "!y", "c[1]"], ["!y", "@x", "a,b", "c[1]"]),  # nothing in a name is obeyed
    ],
)
def test_folded(names, folded):
    assert ranges.folded(names) == folded


def unfolded(word):
    found = re.search(r"\[([0-9,-]+)\]", word)
    if not found:
        return [word]
    names = []
    for part in found[1].split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            names += unfolded(word.replace(found[0], str(number).zfill(len(first)), 1))
    return names


@pytest.mark.parametrize("seed", range(20))
def test_what_is_folded_means_the_same_hosts_each_once(seed):
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = {f"r{chance.randrange(4)}-n{chance.randrange(120):03}.example.org" for _ in range(chance.randrange(1, 300))}
    words = ranges.folded(names)
    meant = [name for word in words for name in unfolded(word)]
    assert sorted(meant) == sorted(names)
    assert max(map(len, words)) < 80, "a word of a screen"


def test_many_hosts_that_make_no_ranges_are_counted():
    every_other = [f"h{number}" for number in range(0, 500, 2)]
    assert ranges.brief(every_other).endswith(" and more, 250 in all")
    assert len(ranges.brief(every_other)) < 160
    assert ranges.brief(["b2", "b1", "a"]) == "a, b[1-2]"
    assert alike.counted(every_other) == "250 hosts"
    assert alike.counted(["b2", "b1"]) == "b[1-2]"


def test_what_differs_in_numbers_or_the_host_s_own_name_is_alike():
    said = [
        ("h10", "ssh: connect to host h10 port 22: No route to host"),
        ("h9", "ssh: connect to host h9 port 22: No route to host"),
        ("h1", "no room"),
        ("h2", "no room"),
        ("h1", "no room"),
    ]
    assert alike.lines(said) == [
        ("ssh: connect to host h10 port 22: No route to host (or the like)", ["h9", "h10"]),
        ("no room", ["h1", "h2"]),
    ]
    assert alike.groups({"b": 1, "a": 1, "c": 2}) == [(1, ["a", "b"]), (2, ["c"])]
