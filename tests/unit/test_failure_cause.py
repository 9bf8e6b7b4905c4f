"""Why a run failed, from what logs say and the host shows."""

import importlib.util
import sys
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/failure_cause.py"
spec = importlib.util.spec_from_file_location("failure_cause", FILE)
failure_cause = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(failure_cause)

NOTHING = failure_cause.Seen(
    text="error: something of its own\n",
    exit_code=1,
    max_jobs="8",
    oom_kills=0,
    engine_lost=False,
    engine_answers=True,
    full=(),
)


def cause(**seen):
    return failure_cause.cause(replace(NOTHING, **seen))


def test_what_nothing_shows_is_not_guessed():
    assert cause() is None


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("2026-11-23T07:00:00.000Z g++: fatal error: Killed signal terminated program cc1plus\n", "compiler (cc1plus)"),
        ("nvcc error   : 'cicc' died due to signal 9 (Kill signal)\n", "compiler (cicc)"),
        ("setup.sh: line 7: 4711 Killed    nvcc -c x.cu\n", "a process"),
        ("error: subprocess-exited-with-error, exit code: 137\n", "a process"),
    ],
)
def test_a_compiler_that_the_kernel_killed(text, who):
    said = cause(text=text, oom_kills=1)
    assert who in said and "kernel killed" in said and "lower --max-jobs (it was 8)" in said
    assert "not by the kernel" in cause(text=text)
    alone = cause(text=text, oom_kills=1, max_jobs="1")
    assert "more memory" in alone and "--max-jobs" not in alone, "there are no fewer jobs than one"


def test_the_exit_code_alone_tells_of_a_kill():
    assert "kernel killed a process" in cause(exit_code=137, oom_kills=1)


def test_a_kill_elsewhere_on_the_host_is_not_this_run_s():
    assert cause(oom_kills=3) is None


def test_a_full_disk_by_what_is_said_or_by_what_is_so():
    assert "free some" in cause(text="cp: error writing 'x': No space left on device\n")
    assert "0 MB are free at /x" in cause(full=("0 MB are free at /x",))


def test_docker_that_went_away_and_docker_that_is_away():
    # Its containers were killed with it, which is no lack of memory.
    assert "went away during the run" in cause(engine_lost=True, text="exit code: 137")
    assert "start it" in cause(engine_lost=True, engine_answers=False)


def test_a_signal_to_the_run():
    assert "SIGTERM" in cause(exit_code=143, full=("full",))


def test_who_cancelled_it_is_told_in_place_of_the_signal_and_only_where_one_came(tmp_path):
    evidence = tmp_path / "run"
    assert failure_cause.cancelled_by(evidence) is None
    (tmp_path / "run.cancelled").write_text("alice@desk\n")
    by = failure_cause.cancelled_by(evidence)
    assert cause(exit_code=143, cancelled_by=by).startswith("cancelled by a person: alice@desk; ")
    assert cause(exit_code=143, cancelled_by="").startswith("cancelled by a person; ")
    assert cause(exit_code=1, cancelled_by=by) is None, "it had failed before"


def test_little_room_is_seen(tmp_path, monkeypatch):
    assert failure_cause.full(tmp_path) == ""
    monkeypatch.setattr(failure_cause, "LITTLE", 1 << 62)
    assert f"MB are free at {tmp_path}" in failure_cause.full(tmp_path)
    assert failure_cause.full(tmp_path / "none") == ""


def test_the_kernel_s_count_is_read():
    assert failure_cause.oom_kills() >= 0


def test_what_the_base_image_says_of_itself_is_the_cause_in_the_same_words():
    spec = importlib.util.spec_from_file_location("base_image_cuda", FILE.with_name("base_image_cuda.py"))
    base_image_cuda = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(base_image_cuda)
    line = base_image_cuda.refusal("Cuda compilation tools, release 12.4, V12.4.131\nsm_90\nsm_90a\n", "9.0a;10.0f+PTX")
    assert line.startswith("the base image's nvcc of CUDA 12.4 cannot build for 10.0f, it builds for 9.0, 9.0a; choose")
    before = "retry: in 5 s again, after: unexpected EOF\n"
    assert cause(text=f"{before}2026-11-29T19:00:00.000Z {line}\n") == line


@pytest.mark.parametrize(("code", "said"), [(503, "a server answers 503"), (200, "the package index has no triton")])
def test_an_index_in_trouble_is_asked_itself_since_pip_does_not_tell(code, said):
    class Index(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Index) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        index = f"http://127.0.0.1:{server.server_port}/simple"
        text = (
            f"+ pip install triton --index-url {index}\nthat satisfies the requirement triton (from versions: none)\n"
        )
        assert said in cause(text=text + failure_cause.index_answer(text))
        server.shutdown()
