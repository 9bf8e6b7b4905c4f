"""Why a network or a build failed, by words that the tools themselves said: most are from runs against stand-ins."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "roles/scenario/files/xformers-devcontainer/benchmarking/failure_log.py"
spec = importlib.util.spec_from_file_location("failure_log", FILE)
failure_log = importlib.util.module_from_spec(spec)
spec.loader.exec_module(failure_log)

SAID = {
    "Error response from daemon: toomanyrequests: You have reached your pull rate limit.": "answers 429",
    "Error response from daemon: received unexpected HTTP status: 503 Service Temporarily Unavailable": "answers 503",
    "error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502": "answers 502",
    "E: Failed to fetch http://x/y.deb  503  Service Unavailable [IP: 192.0.2.1 80]": "answers 503",
    "the registry sent less than 10 kB/s for 120 s: given up": "sends next to nothing",
    "error: RPC failed; curl 28 Operation too slow. Less than 1000 bytes/sec transferred the last 60 seconds": (
        "sends next to nothing"
    ),
    "filesystem layer verification failed for digest sha256:27": "not what its digest sha256:27 says",
    "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.": "not what its sum says",
    "ERROR: Could not find a version that satisfies the requirement filelock==99 (from versions: 3.0, 3.1)\n"
    "ERROR: No matching distribution found for filelock==99": "the package index has no filelock==99",
    "ERROR: Could not find a version that satisfies the requirement triton (from versions: none)": "has no triton",
    "fatal: could not read Username for 'https://github.com': No such device or address": "or is private",
    "warning: Could not find remote branch v99 to clone.\nfatal: Remote branch v99 not found in upstream origin": (
        "the fork has no v99"
    ),
    "fatal: clone of 'https://github.com/short/gone.git' into submodule path '/w/gone' failed": (
        "the submodule https://github.com/short/gone.git cannot be cloned"
    ),
    "fatal: unable to access 'https://github.com/x.git/': The requested URL returned error: 503\n"
    "fatal: clone of 'https://github.com/x.git' into submodule path '/w/x' failed": "answers 503",
    "fatal: transport 'file' not allowed": "does not clone submodules from the host's own disk",
    "RuntimeError: CUTLASS submodule not found at third_party/cutlass.": "has no third_party/cutlass",
    "x509: certificate has expired or is not yet valid: current time 2026-11-29 is after": "not valid at this time",
    "x509: certificate is valid for somewhere.example, not registry-1.docker.io": "another name: registry-1.docker.io",
    "x509: certificate signed by unknown authority": "authority that is not known there",
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')": (
        "authority that is not known there"
    ),
    "Err:1 http://deb.debian.org/debian bookworm InRelease\n  Temporary failure resolving 'deb.debian.org'\n"
    "E: Unable to locate package python3-pip": "DNS does not find a name: deb.debian.org",
    "fatal: unable to access 'https://github.com/x.git/': Could not resolve host: github.com": "a name: github.com",
    "dial tcp: lookup registry-1.docker.io on 192.0.2.2:53: no such host": "a name: registry-1.docker.io",
    "error pulling image configuration: download failed after attempts=6: unexpected EOF": "breaks off",
    "manifest for nvidia/cuda:0.1 not found: manifest unknown: manifest unknown": "there is no image nvidia/cuda:0.1",
    "pull access denied for x/y, repository does not exist or may require 'docker login'": "there is no image x/y",
    "E: Unable to locate package cmake3": "apt in the image finds no package cmake3",
    "Project file:///w uses a build backend that is missing the 'build_editable' hook": "setuptools in the image",
    "nvcc fatal : Unsupported gpu architecture 'compute_120'": "cannot build for architecture 120",
    "The detected CUDA version (13.0) mismatches the version that was used to compile": "has CUDA 13.0",
    "the fork keeps files in Git LFS, and git-lfs is not here: weights": "has no git-lfs: weights",
    "received unexpected HTTP status: 407 Proxy Authentication Required": "the proxy asks for a password",
}


# What logs of builds that go well say.
INNOCENT = """\
Get:12 http://deb.debian.org/debian bookworm/main amd64 libx 1.0 [504 kB]
Get:407 http://deb.debian.org/debian bookworm/main amd64 libproxy1v5 amd64 0.4.18-1.2 [56.5 kB]
Downloading https://download.pytorch.org/whl/cu128/torch-2.11.0.whl (503.2 MB)
WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'ReadTimeoutError("Read timed out.")': /x
fatal: clone of 'https://github.com/NVIDIA/cutlass.git' into submodule path '/w/cutlass' failed
retry: in 5 s again, after: error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503
x.h(123): warning #177-D: variable "error" was declared but never referenced
UserWarning: Failed to initialize NumPy: No module named 'numpy'
fatal: not a git repository (or any of the parent directories): .git
"""


def test_what_goes_well_says_no_cause():
    assert failure_log.cause(INNOCENT) is None


@pytest.mark.parametrize("said", SAID)
def test_what_was_said_is_named_with_its_remedy(said):
    found = failure_log.cause(f"{INNOCENT}2026-11-29T18:40:04.070Z {said}\n")
    assert found and SAID[said] in found.partition("; ")[0], found
    assert found.partition("; ")[2] and "\n" not in found and "{" not in found


def test_what_says_nothing_of_it_is_not_guessed():
    assert failure_log.cause("ninja: build stopped: subcommand failed.\nerror: something of its own\n") is None


@pytest.mark.parametrize(
    ("called", "page"),
    [
        (
            "--upgrade pip && python3 -m pip install --no-cache-dir torch triton --index-url https://x.example/cu128",
            "cu128",
        ),
        (
            "--upgrade pip --index-url https://y.example/a && python3 -m pip install triton==3",
            "https://pypi.org/simple",
        ),
    ],
)
def test_where_pip_finds_no_version_the_index_can_be_asked(called, page):
    said = "satisfies the requirement triton==3 (from versions: none)"
    text = f"Step 8/13 : RUN python3 -m pip install {called}\nERROR: Could not find a version that {said}\n"
    url = failure_log.page_without_versions(text)
    assert url and url.endswith("/triton/") and page in url and "y.example" not in url
    assert failure_log.page_without_versions(text.replace("none", "1.0, 2.0")) is None


def test_only_the_phase_that_failed_is_read_and_not_what_was_said_after_it():
    text = "=== image_build ===\nearly EOF\n[18:00] === compile ===\nnvcc error\n=== evidence ===\n503"
    assert "early EOF" not in failure_log.of_phase(text) and "503" not in failure_log.of_phase(text)
    assert "nvcc error" in failure_log.of_phase(text)
