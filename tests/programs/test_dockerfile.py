"""Dockerfile.scenario-a as each profile renders it, by Ansible itself."""

import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles/scenario"


@functools.cache
def render(profile, ca_bundle=""):
    """The Dockerfile with the role's own defaults and a site without a CA, unless told otherwise."""
    files = [ROLE / "defaults/main.yml", ROOT / f"inventory/profiles/{profile}.yml", ROLE / "vars/main.yml"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "Dockerfile"
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible"), "localhost", "-c", "local", "-m", "ansible.builtin.template"]
            + ["-a", f"src={ROLE}/templates/Dockerfile.scenario-a.j2 dest={out}"]
            + [argument for file in files for argument in ("-e", f"@{file}")]
            + ["-e", json.dumps({"scenario_ca_bundle": ca_bundle})],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return out.read_text()


def instructions(text):
    """Each instruction on one line, without comments."""
    joined = "\n".join(line for line in text.splitlines() if line and not line.startswith("#")).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines()]


def test_the_seed_profile_is_the_seeds_dockerfile():
    assert instructions(render("seed")) == [
        "FROM nvidia/cuda:12.8.0-devel-ubuntu22.04",
        "ENV DEBIAN_FRONTEND=noninteractive FORCE_CUDA=1",
        "RUN apt-get update && apt-get install -y python3-pip python3-dev build-essential git cmake ninja-build rsync"
        " && rm -rf /var/lib/apt/lists/*",
        "RUN python3 -m pip install --no-cache-dir --upgrade pip && python3 -m pip install --no-cache-dir"
        " torch torchvision torchaudio --index-url https://download.pytorch.org/whl/cu128 triton"
        # Without it the compile fails: inventory/profiles/seed.yml says why.
        " && python3 -m pip install --no-cache-dir setuptools==80.9.0 wheel==0.48.0",
        "RUN useradd -ms /bin/bash vscode",
        "WORKDIR /workspace",
        'ENTRYPOINT ["tail", "-f", "/dev/null"]',
    ]


def test_the_registries_profile_differs_in_its_data_only():
    seed, registries = (instructions(render(profile)) for profile in ("seed", "registries"))
    different = [index for index, (one, other) in enumerate(zip(seed, registries, strict=True)) if one != other]
    assert different == [0, 3]
    assert "torch==" in registries[3]
    assert "index-url" not in registries[3]


@pytest.mark.parametrize("profile", ["seed", "registries"])
def test_it_holds_nothing_of_xformers_and_no_cache(profile):
    text = "\n".join(instructions(render(profile)))
    for forbidden in ("xformers", "COPY", "--mount", "pip download", "pip wheel"):
        assert forbidden not in text


def test_a_site_ca_is_in_before_anything_is_fetched():
    lines = instructions(render("seed", ca_bundle="/etc/provisioner/site-ca.crt"))
    fetch = next(index for index, line in enumerate(lines) if "apt-get update" in line)
    assert any(line.startswith("COPY site-ca.crt") for line in lines[:fetch])
    names = next(line for line in lines[:fetch] if line.startswith("ENV SSL_CERT_FILE"))
    assert {"PIP_CERT", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"} <= {word.split("=")[0] for word in names.split()}
