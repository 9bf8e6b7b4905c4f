"""Scenario A's test: xformers' memory-efficient attention on the GPU, against a float64 reference.

    attention_test.py [--challenge TEXT]

The inputs are made of the challenge, see `numbers`: who chose it before the run knows that the results were computed
since. Without one the test takes 32 random bytes.
Exit code: 0 every result is right, 1 one is not, 2 the test could not run (no GPU, no xformers).
The last line printed is a JSON object: the worst case at its top, and all `cases` with how far each was off. Where
SCENARIO_EVIDENCE names a folder, its attention.jsonl gets what the GPU computed at the challenge's `places`, a line a
case, which anybody can compute again.
`reference` and `compare` are written for torch and for numpy alike, so that they can be tested without a GPU.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import os
import platform
import secrets
import sys
from pathlib import Path

# (batch, tokens, features) or (batch, tokens, heads, features), and the dtype. First the original benchmark's; then
# lengths that no tile of a kernel divides, the usual head sizes, and more tokens than one block holds.
CASES = (
    ((2, 4, 8), "float32"),
    ((2, 4, 8), "float16"),
    ((2, 4, 8), "bfloat16"),
    ((2, 257, 4, 64), "float32"),
    ((2, 257, 4, 64), "float16"),
    ((2, 257, 4, 64), "bfloat16"),
    ((1, 1031, 2, 128), "float32"),
    ((1, 1031, 2, 128), "float16"),
    ((1, 1031, 2, 128), "bfloat16"),
)
# Largest relative error of rounding to each dtype: 2**-(bits of the significand, the hidden one among them), IEEE 754
# and for bfloat16 8. A kernel may multiply float32 as TF32, which has 11 bits.
ROUNDOFF = {"float32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}
# So many roundoffs of the largest result are allowed. A result is an average of values, so it is rounded itself, and
# what rounding does to the many weights and factors largely cancels. Emulated in float64 with everything rounded that
# a kernel may round, cases were off by up to 1.7 roundoffs.
ALLOWED_ROUNDOFFS = 4
# The generator's whole numbers are divided by this. So each is exact in every dtype, and scores have a deviation of
# 1.3, whatever the number of features: no token outweighs all others, and none counts as much as the next.
SCALE = 64
# So many rows of each case's output are evidence.
ROWS = 2


def stream(challenge, case, name, size):
    """Return `size` bytes of a challenge, for case number `case`: SHAKE-256 of the text CHALLENGE:CASE:NAME."""
    return hashlib.shake_256(f"{challenge}:{case}:{name}".encode()).digest(size)


def numbers(challenge, case, name, count):
    """Return the numbers of an input (query, key or value) as signed bytes; divided by SCALE they are it."""
    return bytearray(stream(challenge, case, name, count))


def places(challenge, case, shape):
    """Return the places of ROWS rows of an output, as (batch, token, head): 8 bytes each, modulo the number of rows.

    Rows follow each other as they lie in the output; without an axis of heads there is one.
    """
    batches, tokens, heads = (*shape[:-1], 1)[:3]
    data = stream(challenge, case, "places", 8 * ROWS)
    rows = (int.from_bytes(data[at : at + 8], "big") % (batches * tokens * heads) for at in range(0, 8 * ROWS, 8))
    return [(row // heads // tokens, row // heads % tokens, row % heads) for row in rows]


def reference(xp, query, key, value):
    """softmax(Q K^T / sqrt(d)) V (Vaswani et al., 2017, equation 1), in the precision of the arguments.

    `xp` is the arrays' library, torch or numpy; the last axis is features, the one after the batch is tokens.
    """
    if query.ndim == 4:
        query, key, value = (xp.moveaxis(array, 2, 1) for array in (query, key, value))
    scores = query @ xp.moveaxis(key, -1, -2) / math.sqrt(query.shape[-1])
    weights = xp.exp(scores - xp.amax(scores, -1)[..., None])
    output = (weights / weights.sum(-1)[..., None]) @ value
    return xp.moveaxis(output, 1, 2) if output.ndim == 4 else output


def compare(xp, output, inputs, dtype):
    """Compare an operator's output with the reference of its `inputs`, which were rounded to `dtype`; all are float64.

    Gives `passed`, `max_abs_error` (None where it is no number, which never passes) and `tolerance`.
    """
    right = reference(xp, *inputs)
    tolerance = ALLOWED_ROUNDOFFS * ROUNDOFF[dtype] * float(abs(right).max())
    error = float(abs(output - right).max()) if output.shape == right.shape else math.nan
    known = math.isfinite(error)
    return {"passed": known and error <= tolerance, "max_abs_error": error if known else None, "tolerance": tolerance}


def run_case(torch, operator, challenge, case):
    """Run `operator` on the inputs of case number `case`; return how it compared, and its rows at the case's places."""
    shape, dtype = CASES[case]
    inputs = []
    for name in ("query", "key", "value"):
        whole = torch.frombuffer(numbers(challenge, case, name, math.prod(shape)), dtype=torch.int8).reshape(shape)
        inputs.append((whole.to(torch.float32) / SCALE).to("cuda", getattr(torch, dtype)))
    output, *inputs = (array.double().cpu() for array in (operator(*inputs), *inputs))
    rows = [
        {"place": list(place), "output": output.reshape(*shape[:2], -1, shape[-1])[place].tolist()}
        for place in places(challenge, case, shape)
    ]
    compared = {"shape": list(shape), "dtype": dtype, **compare(torch, output, inputs, dtype)}
    return compared, {"case": case, "challenge": challenge, "rows": rows}


def badness(case):
    """How bad a case is: its error by its tolerance, beyond all others where it is no number."""
    error = case["max_abs_error"]
    return (not case["passed"], math.inf if error is None else error / case["tolerance"])


def forget_own_folder():
    """Have Python not look for modules beside this file: the clone there is a folder xformers, and no package."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]


def keep(rows):
    """Write the rows of each case into the evidence, where there is one."""
    folder = os.environ.get("SCENARIO_EVIDENCE")
    if folder:
        Path(folder, "attention.jsonl").write_text("".join(f"{json.dumps(case)}\n" for case in rows), encoding="utf-8")


def main(arguments=None) -> int:
    """Run the test; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--challenge", metavar="TEXT", help="what the inputs are made of (32 random bytes)")
    challenge = parser.parse_args(arguments).challenge or secrets.token_hex(32)
    forget_own_folder()
    try:
        import torch
        import xformers
        import xformers.ops
    except ImportError as error:
        print(f"attention_test: cannot run: {error}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("attention_test: cannot run: torch sees no CUDA GPU", file=sys.stderr)
        return 2

    operator = xformers.ops.memory_efficient_attention
    cases, rows = zip(*(run_case(torch, operator, challenge, case) for case in range(len(CASES))))  # noqa: B905 (Python 3.9)
    keep(rows)
    worst = max(cases, key=badness)
    extension = importlib.util.find_spec("xformers._C")
    print(
        json.dumps(
            {
                **worst,
                "passed": worst["passed"],
                "challenge": challenge,
                "host": platform.node(),
                "device": torch.cuda.get_device_name(),
                "uuid": str(getattr(torch.cuda.get_device_properties(0), "uuid", "")) or None,
                "torch": torch.__version__,
                "xformers": xformers.__version__,
                "extension": extension.origin if extension else None,
                "cases": cases,
            }
        )
    )
    return 0 if worst["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
