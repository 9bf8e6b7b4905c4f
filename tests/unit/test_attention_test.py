"""attention_test.py without a GPU: its reference and its judgement, with numpy's arrays and stand-ins for the operator.

What runs on a GPU only, `run_case` and `main`, was run on one: docs/results.
"""

import importlib.util
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/attention_test.py"
spec = importlib.util.spec_from_file_location("attention_test", FILE)
test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test)


def arrays(shape, dtype="float64"):
    generator = numpy.random.default_rng(7)
    return [generator.standard_normal(shape).astype(dtype).astype("float64") for _ in range(3)]


def one_head(query, key, value):
    """The formula, number by number."""
    rows = []
    for row in query:
        weights = [math.exp(sum(a * b for a, b in zip(row, other, strict=True)) / len(row) ** 0.5) for other in key]
        total = sum(weights)
        columns = zip(*value, strict=True)
        rows.append([sum(w / total * v for w, v in zip(weights, column, strict=True)) for column in columns])
    return rows


@pytest.mark.parametrize("shape", [(2, 4, 8), (3, 5, 2, 4)])
def test_the_reference_is_the_formula(shape):
    query, key, value = arrays(shape)
    found = test.reference(numpy, query, key, value)
    assert found.shape == shape
    for batch in range(shape[0]):
        for head in range(shape[2]) if len(shape) == 4 else [...]:
            place = (batch, slice(None), head) if len(shape) == 4 else (batch,)
            expected = one_head(query[place], key[place], value[place])
            assert numpy.allclose(found[place], expected, rtol=1e-12)


def test_large_scores_do_not_overflow():
    query, key, value = (1e3 * array for array in arrays((1, 6, 4)))
    assert numpy.isfinite(test.reference(numpy, query, key, value)).all()


@pytest.mark.parametrize(("shape", "dtype"), test.CASES)
def test_the_right_result_passes_and_one_that_is_just_too_far_off_does_not(shape, dtype):
    inputs = arrays(shape, "float16" if dtype == "float16" else "float32")
    right = test.reference(numpy, *inputs)
    found = test.compare(numpy, right, inputs, dtype)
    assert found["passed"] is True and found["max_abs_error"] == 0
    for factor, passes in ((0.99, True), (1.01, False)):
        output = right.copy()
        output.flat[-1] += factor * found["tolerance"]
        assert test.compare(numpy, output, inputs, dtype)["passed"] is passes


def without_scale(query, key, value):
    return test.reference(numpy, query * query.shape[-1] ** 0.5, key, value)


def causal(query, key, value):
    output = value.copy()
    for last in range(1, min(value.shape[1], 9)):
        output[:, last - 1] = test.reference(numpy, query[:, last - 1 : last], key[:, :last], value[:, :last])[:, 0]
    return output


@pytest.mark.parametrize(
    "wrong",
    [
        without_scale,
        causal,
        lambda query, key, value: test.reference(numpy, key, query, value),
        lambda query, key, value: numpy.zeros_like(value),
        lambda query, key, value: test.reference(numpy, query, key, value)[::-1],
        lambda query, key, value: value.mean(axis=1, keepdims=True) + 0 * value,
    ],
    ids=["no scale", "causal", "swapped", "zeros", "batches swapped", "mean"],
)
@pytest.mark.parametrize(("shape", "dtype"), [case for case in test.CASES if case[0] != (1, 1031, 2, 128)])
def test_an_operator_that_computes_something_else_fails(wrong, shape, dtype):
    inputs = arrays(shape)
    assert test.compare(numpy, wrong(*inputs), inputs, dtype)["passed"] is False


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_never_passes_and_is_json_all_the_same(bad):
    inputs = arrays((2, 4, 8))
    output = test.reference(numpy, *inputs)
    output[1, 2, 3] = bad
    found = test.compare(numpy, output, inputs, "float32")
    assert found["passed"] is False
    assert json.loads(json.dumps(found, allow_nan=False))["max_abs_error"] is None
    inputs[2][0, 0, 0] = bad  # then the reference is none either
    assert test.compare(numpy, output, inputs, "float32")["passed"] is False


def test_another_shape_fails():
    inputs = arrays((2, 4, 8))
    assert test.compare(numpy, test.reference(numpy, *inputs)[:1], inputs, "float32")["passed"] is False


def test_the_original_benchmark_s_case_is_the_first():
    assert test.CASES[0] == ((2, 4, 8), "float32")
    assert {dtype for _, dtype in test.CASES} == {"float32", "float16", "bfloat16"}


def test_the_worst_case_is_told():
    def case(error, tolerance, passed=True):
        return {"passed": passed, "max_abs_error": error, "tolerance": tolerance}

    cases = [case(0.1, 1), case(0.2, 3), case(1e-3, 1e-3), case(None, 1, passed=False), case(2, 1, passed=False)]
    assert max(cases[:3], key=test.badness) is cases[2]
    assert max([*cases[:3], cases[4]], key=test.badness) is cases[4]
    assert max(cases, key=test.badness) is cases[3]


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False))
    operators = SimpleNamespace()
    modules = {"torch": torch, "xformers": SimpleNamespace(ops=operators), "xformers.ops": operators}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert test.main([]) == 2
    assert "torch sees no CUDA GPU" in capsys.readouterr().err


EDITABLE = """
import importlib.util, sys, types
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        file = {{"xformers": "__init__.py", "xformers.ops": "ops.py"}}.get(name)
        if file:
            places = [{package!r}] if name == "xformers" else None
            return importlib.util.spec_from_file_location(
                name, {package!r} + "/" + file, submodule_search_locations=places
            )
sys.meta_path.append(Finder)
sys.modules["torch"] = types.SimpleNamespace(cuda=types.SimpleNamespace(is_available=lambda: False))
"""


def test_the_clone_beside_it_does_not_hide_the_package_in_it(tmp_path):
    """As setuptools installs it: a finder that Python asks last, after it has looked for folders of that name."""
    shutil.copy(FILE, tmp_path)
    package = tmp_path / "xformers/xformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("name = 1")
    (package / "ops.py").write_text("from xformers import name")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(EDITABLE.format(package=str(package)))
    for folder in (tmp_path, tmp_path.parent):
        done = subprocess.run(
            [sys.executable, tmp_path / "attention_test.py"],
            cwd=folder,
            env={"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (2, "attention_test: cannot run: torch sees no CUDA GPU\n")


def test_without_xformers_it_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert test.main([]) == 2
    assert "cannot run" in capsys.readouterr().err
