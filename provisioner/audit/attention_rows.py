"""What the attention test must have returned, computed again: plain Python, and no library but Python's own.

The numbers of an input are the bytes of SHAKE-256 of the text CHALLENGE:CASE:NAME (query, key, value), each a signed
byte over 64, in the order in which the input lies in memory: (batch, token, head, feature). So are the places of the
rows that are evidence: each is eight bytes of CHALLENGE:CASE:places, modulo the number of rows. attention_test.py says
the same of itself; a unit test holds one against the other.
"""

from __future__ import annotations

import hashlib
import math
import struct
from array import array
from functools import lru_cache
from operator import mul

__all__ = ["ALLOWED_ROUNDOFFS", "CASES", "LARGEST", "ROUNDOFF", "Place", "exact", "places", "rows"]

CASES = tuple(
    (shape, dtype)
    for shape in ((2, 4, 8), (2, 257, 4, 64), (1, 1031, 2, 128))
    for dtype in ("float32", "float16", "bfloat16")
)
"""(batch, tokens, features) or (batch, tokens, heads, features), and the dtype."""
SCALE = 64
ROWS = 2
LARGEST = 128 / SCALE
"""No number of an input is larger, so no average of values is."""
ROUNDOFF = {"float32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}
ALLOWED_ROUNDOFFS = 4

Place = tuple[int, int, int]
"""Batch, token and head."""


def places(challenge: str, case: int) -> list[Place]:
    """Return where the rows of case number `case` are that a challenge asks for."""
    batches, tokens, heads, _ = _sizes(case)
    data = _stream(challenge, case, "places", 8 * ROWS)
    rows = (int.from_bytes(data[at : at + 8], "big") % (batches * tokens * heads) for at in range(0, 8 * ROWS, 8))
    return [(row // heads // tokens, row // heads % tokens, row % heads) for row in rows]


# Who collects a run or takes in an export judges it more than once.
@lru_cache(maxsize=4 * len(CASES))
def rows(challenge: str, case: int) -> tuple[tuple[Place, tuple[float, ...]], ...]:
    """Return softmax(Q K^T / sqrt(d)) V at each of those places, a number for each feature."""
    _, tokens, heads, features = _sizes(case)
    inputs = (array("b", _stream(challenge, case, name, math.prod(_sizes(case)))) for name in ("query", "key", "value"))
    query, key, value = inputs
    step = heads * features
    found = []
    for batch, token, head in places(challenge, case):
        first, end = batch * tokens * step + head * features, (batch + 1) * tokens * step
        own = query[first + token * step :][:features]
        # Whole numbers until here, so that nothing is rounded.
        scores = [sum(map(mul, own, key[at : at + features])) for at in range(first, end, step)]
        highest = max(scores)
        weights = [math.exp((score - highest) / (SCALE * SCALE * math.sqrt(features))) for score in scores]
        total = sum(weights) * SCALE
        columns = (value[first + feature : end : step] for feature in range(features))
        found.append(((batch, token, head), tuple(sum(map(mul, weights, column)) / total for column in columns)))
    return tuple(found)


def exact(number: float, dtype: str) -> bool:
    """Return whether a number is one of a dtype's. Raise OverflowError where it is larger than any."""
    kind = "e" if dtype == "float16" else "f"
    packed = struct.pack(f"<{kind}", number)
    whole = dtype != "bfloat16" or packed[:2] == b"\0\0"  # bfloat16 is the upper half of float32
    return whole and struct.unpack(f"<{kind}", packed)[0] == number


def _sizes(case: int) -> tuple[int, int, int, int]:
    shape, _ = CASES[case]
    heads = shape[2] if len(shape) == 4 else 1
    return shape[0], shape[1], heads, shape[-1]


def _stream(challenge: str, case: int, name: str, size: int) -> bytes:
    return hashlib.shake_256(f"{challenge}:{case}:{name}".encode()).digest(size)
