"""Scenario A's test: xformers' memory-efficient attention on the GPU, against a float64 reference.

Exit code: 0 every result is right, 1 one is not, 2 the test could not run (no GPU, no xformers).
The last line printed is a JSON object: the worst case at its top, and all `cases` with how far each was off.
`reference` and `compare` are written for torch and for numpy alike, so that they can be tested without a GPU.
"""

import importlib.util
import json
import math
import platform
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
# a kernel may round, random cases were off by up to 1.0 roundoffs, and 2.2 with TF32's factors.
ALLOWED_ROUNDOFFS = 4


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


def run_case(torch, operator, shape, dtype):
    """Run `operator` on random input of a shape and dtype; give how it compared."""
    inputs = [torch.randn(shape, device="cuda").to(getattr(torch, dtype)) for _ in range(3)]
    output, *inputs = (array.double().cpu() for array in (operator(*inputs), *inputs))
    return {"shape": list(shape), "dtype": dtype, **compare(torch, output, inputs, dtype)}


def badness(case):
    """How bad a case is: its error by its tolerance, beyond all others where it is no number."""
    error = case["max_abs_error"]
    return (not case["passed"], math.inf if error is None else error / case["tolerance"])


def forget_own_folder():
    """Have Python not look for modules beside this file: the clone there is a folder xformers, and no package."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]


def main() -> int:
    """Run the test; return the exit code."""
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

    torch.manual_seed(0)
    cases = [run_case(torch, xformers.ops.memory_efficient_attention, *case) for case in CASES]
    worst = max(cases, key=badness)
    extension = importlib.util.find_spec("xformers._C")
    print(
        json.dumps(
            {
                **worst,
                "passed": worst["passed"],
                "host": platform.node(),
                "device": torch.cuda.get_device_name(),
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
