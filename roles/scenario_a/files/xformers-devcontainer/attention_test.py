"""Scenario A's test: xformers' memory-efficient attention on the GPU, against a float64 reference.

Exit code: 0 the result is right, 1 it is not, 2 the test could not run (no GPU, no xformers).
The last line printed is a JSON object with what was computed and how far it was off.
"""

import importlib.util
import json
import platform
import sys

# (batch, tokens, features), as in the original benchmark.
SHAPE = (2, 4, 8)
# float32 carries 24 bits; a few dozen additions and one exponential lose a few of them. TF32 multiplies, which a
# kernel may use, carry 11 bits: 2**-11 of a value near 1. Anything beyond twice that is a wrong answer.
TOLERANCE = 1e-3


def reference(query, key, value):
    """softmax(Q K^T / sqrt(d)) V in float64 on the CPU (Vaswani et al., 2017, equation 1)."""
    query, key, value = (tensor.double().cpu() for tensor in (query, key, value))
    weights = (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ value


def main() -> int:
    """Run the test; return the exit code."""
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
    query, key, value = (torch.randn(SHAPE, device="cuda") for _ in range(3))
    output = xformers.ops.memory_efficient_attention(query, key, value)
    error = (output.double().cpu() - reference(query, key, value)).abs().max().item()
    extension = importlib.util.find_spec("xformers._C")
    # Written so that NaN, which compares false with everything, fails.
    passed = output.shape == query.shape and error <= TOLERANCE
    print(
        json.dumps(
            {
                "passed": passed,
                "host": platform.node(),
                "shape": list(SHAPE),
                "dtype": str(output.dtype),
                "device": torch.cuda.get_device_name(),
                "max_abs_error": error,
                "tolerance": TOLERANCE,
                "torch": torch.__version__,
                "xformers": xformers.__version__,
                "extension": extension.origin if extension else None,
            }
        )
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
