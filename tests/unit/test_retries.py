"""What was tried again, by the words that each tool has for it, taken from its own output."""

from provisioner.runs.retries import of_log

STAMP = "2026-11-29T18:40:04.070Z "


def retries(*lines):
    return [(one.phase, one.what, one.times) for one in of_log(STAMP + line for line in lines)]


def test_nothing_was():
    assert (
        retries("=== image_build ===", "+ docker image pull x", "Get:1 http://deb.debian.org/debian x InRelease") == []
    )


def test_what_the_scripts_try_again():
    lines = [
        "=== image_build ===",
        "retry: in 5 s again, after: Error response from daemon: received unexpected HTTP status: 503 Unavailable",
        "retry: in 20 s again, after: Error response from daemon: received unexpected HTTP status: 503 Unavailable",
        "=== container_up ===",
        "[2026-11-29T18:40:05.1Z] === clone ===",
        "[2026-11-29T18:40:06.1Z] retry: in 5 s again, after: fatal: early EOF",
    ]
    assert retries(*lines) == [("image_build", "docker", 2), ("clone", "git", 1)]


def test_docker_counts_down_for_each_layer():
    lines = ["=== image_build ==="]
    lines += [f"592fca13e560: Retrying in {seconds} seconds" for seconds in (5, 4, 3, 2)]
    lines += ["592fca13e560: Retrying in 1 second"]
    lines += [f"592fca13e560: Retrying in {seconds} seconds" for seconds in (10, 9)]
    lines += ["2743a7f093ab: Retrying in 5 seconds"]
    assert retries(*lines) == [("image_build", "docker", 3)]


def test_pip_and_apt():
    lines = [
        "=== image_build ===",
        "Ign:1 http://deb.debian.org/debian bookworm/main amd64 git amd64 1:2.39.5",
        "Get:2 http://deb.debian.org/debian bookworm/main amd64 make amd64 4.3",
        "Get:1 http://deb.debian.org/debian bookworm/main amd64 git amd64 1:2.39.5 [7,256 kB]",
        # Another call of apt numbers anew.
        "Get:9 http://deb.debian.org/debian bookworm InRelease [151 kB]",
        "Ign:5 http://x.example/debian ./ InRelease",
        "Get:5 http://deb.debian.org/debian bookworm/main amd64 cmake amd64 3.25.1 [8,692 kB]",
        # A source without an InRelease is not tried again.
        "Ign:3 http://x.example/debian ./ InRelease",
        "Get:4 http://x.example/debian ./ Release",
        "WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after x",
    ]
    assert retries(*lines) == [("image_build", "apt", 1), ("image_build", "pip", 1)]


def test_git_tries_a_submodule_again_by_itself():
    line = "Failed to clone 'third_party/cutlass'. Retry scheduled"
    assert retries("=== clone ===", line) == [("clone", "git", 1)]
