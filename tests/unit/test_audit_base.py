"""Cheats by a base image that was prepared, by its settings and by tools of nobody's, and honest bases of all kinds.

Each cheat is forged consistently: what it changes is changed in every file that tells of it, and summed anew.
"""

import json

import evidence_sample
import pytest
from test_audit_cheats import at, both, changed, edit, edit_json, edit_lines, edited, failed, judge, lines

from provisioner.audit import known_bases
from provisioner.audit.checks import base, base_contents, base_settings
from provisioner.audit.judge import judge as audit
from provisioner.audit.rules import RULES
from provisioner.audit.verdict import sentence
from provisioner.runs.evidence import Evidence

BASES = ("base_image_before.json", "base_image.json")
IMAGES = ("image_inspect.json", "container_image.json")
LISTINGS = ("images_before.jsonl", "images_at_build.jsonl", "images_after.jsonl")
HISTORIES = ("base_image_history.jsonl", "image_history.jsonl", "container_image_history.jsonl")
FILES = "base_files.json"
TOOLS = "toolchain.json"
DIFF = "container_diff.txt"
NVCC = "/usr/local/cuda-13.0/bin/nvcc"
DISTRIBUTIONS = "/usr/local/lib/python3.11/dist-packages"
LAYER = f"sha256:{'1' * 64}"
DIGEST = f"sha256:{'d' * 64}"
PYTHON_STARTS = {"path": f"{DISTRIBUTIONS}/answer.pth", "real": f"{DISTRIBUTIONS}/answer.pth", "sha256": "0" * 64}


@pytest.fixture
def folder(tmp_path):
    return evidence_sample.copy(tmp_path / "run")


# ---- ways to alter what a base is ------------------------------------------------------------------------------------


def of_each(names, change):
    """Change the one object of each `docker inspect`."""
    return both(*(changed(name, lambda inspected: change(inspected[0])) for name in names))


def configured(**settings):
    """The base, and so the image and the container's, has these settings."""
    return of_each((*BASES, *IMAGES), lambda image: image["Config"].update(settings))


def base_alone(**settings):
    return of_each(BASES, lambda image: image["Config"].update(settings))


def with_variable(name, value, *files):
    """A variable that is set from the base on, or in those files."""

    def change(inspected):
        others = [entry for entry in inspected["Config"]["Env"] if entry.partition("=")[0] != name]
        inspected["Config"]["Env"] = [*others, f"{name}={value}"]

    return of_each(files or (*BASES, *IMAGES, "container_inspect.json"), change)


def labelled(**labels):
    return of_each(
        BASES, lambda image: image["Config"]["Labels"].update({f"provisioner.{n}": labels[n] for n in labels})
    )


def second_layer(folder):
    """Somebody put a layer on the base, and every image that stands on it has it too."""

    def put(image):
        image["RootFS"]["Layers"].insert(1, LAYER)
        image["Size"] += 9_000_000

    of_each((*BASES, *IMAGES), put)(folder)

    def put_too(images):
        for image in images:
            if image["id"] in of_bases:
                image["layers"].insert(1, LAYER)

    of_bases = {json.loads((folder / name).read_text())[0]["Id"] for name in BASES}
    for name in LISTINGS:
        edit_lines(folder / name, put_too)
    row = {"CreatedBy": "/bin/sh -c put-it-there", "CreatedAt": "2026-11-23T06:38:16Z", "Size": "9MB", "Comment": ""}
    for name in HISTORIES:
        edit_lines(folder / name, lambda rows: rows.insert(len(rows) - 1, row))


def another_tree(folder):
    """The toolkit is another, and the base's own labels say so too."""
    changed(FILES, lambda files: files["toolkits"]["/usr/local/cuda-13.0"].update(sha256="2" * 64))(folder)
    labelled(toolkit=f"sha256:{'2' * 64}")(folder)


def listed(kind, *paths):
    return changed(FILES, lambda files: files[kind].extend(paths))


def tool(name, **facts):
    def change(found):
        next(one for one in found["tools"] if one["name"] == name).update(facts)

    return changed(TOOLS, change)


def base_tool(name):
    """The host saw another sum of a tool in the base."""

    def change(files):
        (path,) = (path for path in files["tools"] if path.endswith(f"/{name}"))
        files["tools"][path] = "5" * 64

    return changed(FILES, change)


def less_tool(name):
    return changed(TOOLS, lambda found: found.update(tools=[one for one in found["tools"] if one["name"] != name]))


def compiler(name, **facts):
    def change(found):
        next(one for one in found["compilers"] if one["name"] == name).update(facts)

    return changed("environment.json", change)


def said_in_build(line):
    """A line of pip's in the image's build."""
    return edited("run.log", r"^(\S+) (.*RUN useradd.*)$", rf"\1 {line}\n\1 \2")


def named(digest):
    """The site names the base by a digest; its inputs and its Dockerfile do."""

    def change(folder):
        name = f"nvidia/cuda@{digest}"
        edit_json(folder / "run.json", lambda run: run.update(base_image=name))
        edit_json(folder / "files/benchmarking/inputs.json", lambda inputs: inputs.update(base_image=name))
        edit(folder / "files/.devcontainer/Dockerfile.scenario-a", "^FROM .*$", f"FROM {name}")

    return change


CHEATS = {
    "base_is_one_import": {
        "a layer was put on it": second_layer,
        "a base that was not on the host": lines(
            "images_at_build.jsonl", lambda images: [image.update(id="sha256:0") for image in images]
        ),
        "another size than its layers": of_each(BASES, lambda image: image.update(Size=6_433_039_357)),
        "another date than its import's": of_each(BASES, lambda image: image.update(Created="2026-11-20T22:17:08.4Z")),
        "other settings before the build": changed(
            "base_image_before.json", lambda image: image[0]["Config"]["Env"].append("BASH_ENV=/opt/answer.sh")
        ),
        "another base at the end": changed("base_image.json", lambda image: image[0].update(Id=f"sha256:{'3' * 64}")),
    },
    "base_is_vouched_for": {
        "what is in it is not told": lambda folder: (folder / FILES).unlink(),
        "the files of another image": changed(FILES, lambda files: files.update(image=f"sha256:{'4' * 64}")),
        "another archive than was imported": labelled(archive=LAYER),
        "nobody says what it was made of": of_each(BASES, lambda image: image["Config"].update(Labels=None)),
        "another toolkit than its wheels make": another_tree,
        "a toolkit that was altered": changed(
            FILES, lambda files: files["toolkits"]["/usr/local/cuda-13.0"].update(sha256="2" * 64)
        ),
        "a toolkit beside the one of the wheels": changed(
            FILES, lambda files: files["toolkits"].update({"/usr/local/cuda-fast": {"files": 1, "sha256": "2" * 64}})
        ),
        "a tool of the toolkit is another, and its sum left": both(base_tool("nvcc"), tool("nvcc", sha256="5" * 64)),
        "nvcc calls itself another": both(
            edited("base_image_cuda.txt", r"release 13\.0, V13\.0\.88", "release 12.4, V12.4.131"),
            edited("environment.json", r"release 13\.0, V13\.0\.88", "release 12.4, V12.4.131"),
        ),
        "fewer files than its toolkit has": changed(FILES, lambda files: files.update(files=9)),
        "as large as one with torch": both(
            of_each(BASES, lambda image: image.update(Size=6_433_000_000)),
            *(edited(name, '"433MB"', '"6.433GB"') for name in HISTORIES),
        ),
        "a program of nobody's": listed("loose", "/usr/local/sbin/c++"),
        "another digest than the site names": both(
            named(DIGEST), of_each(BASES, lambda image: image.update(RepoDigests=[f"nvidia/cuda@{LAYER}"]))
        ),
    },
    "base_sets_nothing_of_its_own": {
        **{
            f"{name} is set": with_variable(name, value)
            for name, value in (
                ("PYTHONPATH", "/opt/ready"),
                ("PYTHONSTARTUP", "/opt/answer.py"),
                ("BASH_ENV", "/opt/answer.sh"),
                ("LD_PRELOAD", "/opt/answer.so"),
                ("PIP_FIND_LINKS", "/opt/wheels"),
                ("PIP_CONFIG_FILE", "/opt/pip.conf"),
                ("CUDA_HOME", "/opt/cuda"),
                ("PATH", "/opt/fast/bin:/usr/local/cuda/bin:/usr/bin:/bin"),
                ("LD_LIBRARY_PATH", "/opt/fast/lib:/usr/local/nvidia/lib"),
                ("GIT_CONFIG_GLOBAL", "/opt/gitconfig"),
                ("A_NAME_THAT_NOBODY_THOUGHT_OF", "1"),
            )
        },
        "an entrypoint": base_alone(Entrypoint=["/opt/answer"]),
        "a step for whoever builds on it": base_alone(OnBuild=["RUN put-it-there"]),
        "another shell for the build's steps": configured(Shell=["/opt/answer", "-c"]),
        "a shell that reads a file first": configured(Shell=["/bin/bash", "--rcfile", "/opt/answer", "-c"]),
        "a volume": configured(Volumes={"/workspaces": {}}),
        "a command that docker runs all the time": configured(Healthcheck={"Test": ["CMD", "answer"]}),
    },
    "settings_are_the_dockerfiles": {
        "the image sets what its Dockerfile does not": with_variable(
            "BASH_ENV", "/opt/answer.sh", *IMAGES, "container_inspect.json"
        ),
        "the image has another PATH than its base": with_variable(
            "PATH", "/opt/fast/bin:/usr/bin:/bin", *IMAGES, "container_inspect.json"
        ),
        "the image has another entrypoint": of_each(IMAGES, lambda image: image["Config"].update(Entrypoint=["/x"])),
        "the container has an entrypoint of its own": changed(
            "container_inspect.json", lambda made: made[0]["Config"].update(Entrypoint=["/opt/answer"])
        ),
    },
    "nothing_was_ready_in_the_base": {
        "torch": listed("ready", f"{DISTRIBUTIONS}/torch/__init__.py"),
        "an object": listed("ready", "/opt/objects/attention.o"),
        "a package's program was altered": listed("altered", "/usr/bin/dash"),
        "a file that runs when Python starts": listed("starts", f"{DISTRIBUTIONS}/answer.pth"),
        "pip is told of wheels": listed("pip_config", "/etc/pip.conf"),
        "a library in every program": listed("preloaded", "/etc/ld.so.preload"),
        "apt puts something there": changed(FILES, lambda files: files["hooks"].append("put-it-there")),
        "torch was not installed by the build": edited("run.log", r" torch-2\S+", ""),
        "another torch than the build installed": changed(
            "packages.json", lambda found: next(one for one in found if one["name"] == "torch").update(version="9.9")
        ),
        "an older torch than was asked for": both(
            edited("run.log", r"(Successfully installed .*\btorch-)[\d.]+", r"\g<1>2.9.0"),
            changed(
                "packages.json",
                lambda found: next(one for one in found if one["name"] == "torch").update(version="2.9.0"),
            ),
        ),
        "torch in a few bytes": lines(
            "image_history.jsonl",
            lambda rows: next(row for row in rows if " torch" in row["CreatedBy"]).update(Size="3.1MB"),
        ),
    },
    "compilers_are_of_packages": {
        "a script in place of nvcc": compiler("nvcc", binary=False),
        "a gcc of nobody's": compiler("gcc", package=None, real="/opt/fast/gcc"),
        "no cc1plus": changed(
            "environment.json",
            lambda now: now.update(compilers=[one for one in now["compilers"] if one["name"] != "cc1plus"]),
        ),
        "another nvcc than that of the base": changed(
            "environment.json",
            lambda now: now["versions"].update(nvcc="Cuda compilation tools, release 12.4, V12.4.131"),
        ),
    },
    "tools_are_of_packages": {
        "whose they are is not told": lambda folder: (folder / TOOLS).unlink(),
        "another cicc than the base's": tool("cicc", sha256="5" * 64),
        "a script in place of ptxas, in a folder of its own": tool("ptxas", real="/opt/fast/ptxas", sha256="5" * 64),
        "a cicc of a package that the base has not": tool("cicc", package="nvidia-cuda-toolkit", sha256="5" * 64),
        "a package's compiler where packages put nothing": tool("ninja", real="/usr/local/sbin/ninja"),
        "a wheel's pip in a folder of its own": tool("pip", real="/opt/pip/__init__.py"),
        "a script in place of gcc": both(tool("gcc", binary=False), compiler("gcc", binary=False)),
        "one file with two sums": tool("cc", sha256="5" * 64),
        "another package than the environment's": tool("cc1plus", package="fast"),
        "another pip was called": lambda folder: edit(
            folder / "container/pip.log", r"^\+ ", "Using pip 26.3 from /opt/fake/pip (python 3.11)\n+ "
        ),
        "nothing runs when Python starts": changed(TOOLS, lambda found: found.update(starts=[])),
        "no cicc": less_tool("cicc"),
        "no ninja": less_tool("ninja"),
        "a ninja of nobody's": tool("ninja", package=None, wheel=None, real="/opt/ninja"),
        "a Python of nobody's": tool("python", package=None, wheel=None, real="/opt/python"),
        "a pip that was altered": tool("pip", altered=True),
        "a cc1plus that was altered": tool("cc1plus", altered=True),
        "a file that runs when Python starts": changed(
            TOOLS,
            lambda found: found["starts"].append({**PYTHON_STARTS, "package": None, "wheel": None, "altered": False}),
        ),
        "a wheel's file that runs then, altered": changed(
            TOOLS,
            lambda found: found["starts"].append({**PYTHON_STARTS, "package": None, "wheel": "x", "altered": True}),
        ),
        "an nvcc that was written in the container": edited(DIFF, r"^(A /scenario-evidence)$", rf"C {NVCC}\n\1"),
    },
    "nothing_was_put_before_python": {
        f"{path} was written": edited(DIFF, r"^(A /scenario-evidence)$", rf"A {path}\n\1")
        for path in (
            f"{DISTRIBUTIONS}/answer.pth",
            "/home/vscode/.local/lib/python3.11/site-packages/sitecustomize.py",
            "/home/vscode/.config/pip/pip.conf",
            "/etc/ld.so.preload",
            "/etc/profile.d/answer.sh",
            f"{DISTRIBUTIONS}/torch/utils/cpp_extension.py",
            "/home/vscode/.local/lib/python3.11/site-packages/setuptools/command/build_ext.py",
            "/usr/lib/gcc/x86_64-linux-gnu/12/collect2",
            "/usr/local/cuda-13.0/include/cuda_fp16.h",
            "/home/vscode/.local/bin/nvcc",
            "/home/vscode/.cache/ready/gemm.o",
            "/home/vscode/.bashrc",
        )
    },
    "the_compile_saw_the_images_variables": {
        "another index": lambda folder: edit(
            at(folder, "NINJA/environment"), "^MAX_JOBS", "PIP_EXTRA_INDEX_URL=http://x\nMAX_JOBS"
        ),
        "another CUDA than the container's": edited("NINJA/environment", "^CUDA_HOME=.*$", "CUDA_HOME=/opt/cuda"),
        "another place for modules": lambda folder: edit(
            at(folder, "NINJA/environment"), "^MAX_JOBS", "PYTHONPATH=/opt/ready\nMAX_JOBS"
        ),
        "a folder before the others on PATH": lambda folder: edit(
            at(folder, "NINJA/environment"), "^PATH=", "PATH=/opt/fast/bin:"
        ),
    },
    "pip_takes_from_its_index": {
        "find-links": changed(
            "environment.json", lambda now: now["pip_config"].append("global.find-links='/opt/wheels'")
        ),
        "another index": changed(
            "environment.json", lambda now: now["pip_config"].append("global.index-url='http://x/simple'")
        ),
        "another authority than the site's": changed(
            "environment.json", lambda now: now.update(pip_config=[":env:.cert='/opt/authority.pem'"])
        ),
        "it looked in links": said_in_build("Looking in links: /opt/wheels"),
        "it looked in links as it compiled": edited(
            "container/pip.log", r"^(Successfully installed)", r"Looking in links: /opt/wheels\n\1"
        ),
        "it looked in an index that nobody asked for": said_in_build("Looking in indexes: http://x/simple"),
        "it took a wheel that lay there": said_in_build("Processing /opt/wheels/torch-2.14.1-py3-none-any.whl"),
        "it took a file": said_in_build("  Downloading file:///opt/wheels/torch-2.14.1-py3-none-any.whl"),
        "torch was there already": edited(
            "run.log",
            r"^(\S+) (.*RUN python3 -m pip.*)$",
            rf"\1 \2\n\1 Requirement already satisfied: torch==2.14.1 in {DISTRIBUTIONS} (2.14.1)",
        ),
    },
}


@pytest.mark.parametrize(
    ("check", "cheat"),
    [(check, cheat) for check, cheats in CHEATS.items() for cheat in cheats.values()],
    ids=[f"{check}: {name}" for check, cheats in CHEATS.items() for name in cheats],
)
def test_a_cheat_is_caught_by_its_check(folder, check, cheat):
    cheat(folder)
    evidence_sample.seal(folder)
    verdict, checks = judge(folder)
    assert verdict == "rejected"
    assert checks[check].outcome == "fail"


# ---- no false alarm --------------------------------------------------------------------------------------------------

# The settings of nvidia/cuda:12.8.0-devel-ubuntu22.04, as NVIDIA's Dockerfiles make them.
NVIDIA = {
    "Env": [
        "PATH=/usr/local/nvidia/bin:/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "NVARCH=x86_64",
        "NVIDIA_REQUIRE_CUDA=cuda>=12.8 brand=unknown,driver>=470,driver<471 brand=grid,driver>=470,driver<471",
        "NV_CUDA_CUDART_VERSION=12.8.57-1",
        "CUDA_VERSION=12.8.0",
        "LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
        "NVIDIA_VISIBLE_DEVICES=all",
        "NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        "NV_LIBNCCL_PACKAGE=libnccl2=2.25.1-1+cuda12.8",
        "NCCL_VERSION=2.25.1-1",
        "NVIDIA_PRODUCT_NAME=CUDA",
        "LIBRARY_PATH=/usr/local/cuda/lib64/stubs",
    ],
    "Cmd": None,
    "Entrypoint": ["/opt/nvidia/nvidia_entrypoint.sh"],
    "Labels": {"maintainer": "NVIDIA CORPORATION <cudatools@nvidia.com>"},
}
OF_BASE = {
    rule.name
    for rule in RULES
    if rule.check.__module__ in {module.__name__ for module in (base, base_contents, base_settings)}
}


def of_nvidia(folder):
    """Make the base NVIDIA's: its settings, its layers, whose toolkit is of packages; what stands on it follows."""
    configured_as = {key: value for key, value in NVIDIA.items() if key != "Entrypoint"}
    dockerfiles = [
        entry
        for entry in json.loads((folder / "image_inspect.json").read_text())[0]["Config"]["Env"]
        if not entry.startswith(("PATH=", "LD_LIBRARY_PATH=", "CUDA_", "NVIDIA_"))
    ]
    second_layer(folder)
    base_alone(**NVIDIA)(folder)
    of_each(IMAGES, lambda image: image["Config"].update(configured_as, Env=[*NVIDIA["Env"], *dockerfiles]))(folder)
    of_each(
        ["container_inspect.json"],
        lambda made: made["Config"].update(
            Env=[entry for entry in made["Config"]["Env"] if entry.startswith(("SCENARIO", "TORCH", "MAX", "XF"))]
            + [*NVIDIA["Env"], *dockerfiles]
        ),
    )(folder)
    of_each(BASES, lambda image: image.update(RepoDigests=[f"nvidia/cuda@{DIGEST}"]))(folder)
    edit_json(
        folder / FILES,
        lambda files: files.update(toolkits={"/usr/local/cuda-12.8": {"files": 9, "sha256": "6" * 64}}, loose=["/x"]),
    )
    edit_json(
        folder / TOOLS,
        lambda found: [
            one.update(package="cuda-nvcc-12-8") for one in found["tools"] if not (one["package"] or one["wheel"])
        ],
    )
    compiler("nvcc", package="cuda-nvcc-12-8")(folder)
    edit(at(folder, "NINJA/environment"), r"^CUDA_HOME=.*\nCUDA_VERSION=.*$", "CUDA_VERSION=12.8.0")
    edit_json(folder / "run.json", lambda run: run.update(base_image="nvidia/cuda:12.8.0-devel-ubuntu22.04"))
    evidence_sample.seal(folder)


def told(folder):
    return sentence(audit(Evidence(folder)).model_dump())


def test_nvidias_image_is_no_cheat_and_told_as_one_that_nobody_vouches_for(folder):
    of_nvidia(folder)
    # The inputs and the Dockerfile have the name as well; that is another check's.
    assert set(failed(folder)) <= {"inputs_are_as_recorded", "dockerfile_takes_nothing_ready"}
    assert told(folder).endswith(f"base not vouched for: nvidia/cuda@{DIGEST}")


def test_a_digest_that_the_site_names_vouches_for_it(folder):
    of_nvidia(folder)
    named(DIGEST)(folder)
    assert "not vouched for" not in told(folder)
    assert judge(folder)[1]["base_is_vouched_for"].outcome == "pass"


def test_a_digest_that_the_rules_know_vouches_for_it_and_another_is_no_such_image(folder, monkeypatch):
    of_nvidia(folder)
    known = known_bases.known()
    name = "nvidia/cuda:12.8.0-devel-ubuntu22.04"
    monkeypatch.setitem(known, "digests", {name: [DIGEST]})
    assert "not vouched for" not in told(folder)
    monkeypatch.setitem(known, "digests", {name: [LAYER]})
    assert "base_is_vouched_for" in failed(folder)


def test_the_base_that_provisioner_makes_is_vouched_for(folder):
    assert audit(Evidence(folder)).remarks == []


def test_a_toolkit_of_other_wheels_is_told_and_no_cheat(folder):
    """A person's own lock: the rules do not know what its wheels make; the base says what they made."""
    another_tree(folder)
    labelled(wheels="nvidia-cuda-nvcc==13.9.9")(folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []
    assert "base not vouched for: provisioner/cuda:13.0-devel sha256:" in told(folder)


def test_a_sites_own_image_of_the_dockerfiles_first_steps_is_told_and_no_cheat(folder):
    second_layer(folder)
    with_variable("FORCE_CUDA", "1", *BASES)(folder)
    with_variable("PIP_CERT", "/usr/local/share/ca-certificates/site-ca.crt", *BASES)(folder)
    edit_json(folder / "run.json", lambda run: run.update(base_image="site/own:1"))
    evidence_sample.seal(folder)
    assert set(failed(folder)) <= {"inputs_are_as_recorded", "dockerfile_takes_nothing_ready"}
    assert "base not vouched for: site/own:1 sha256:" in told(folder)


@pytest.mark.parametrize(
    "line",
    [
        "Looking in indexes: https://pypi.org/simple",
        "Requirement already satisfied: setuptools<82 in /usr/lib/python3/dist-packages (from torch) (66.1.1)",
        "Processing triggers for libc-bin (2.36-9+deb12u14) ...",
    ],
)
def test_what_pip_and_apt_say_on_any_host_is_no_cheat(folder, line):
    said_in_build(line)(folder)
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_a_container_of_root_is_no_cheat(folder):
    """What pip installs lies in the system's folders then."""
    text = (folder / DIFF).read_text().replace("/home/vscode/.local/lib/python3.11/site-packages", DISTRIBUTIONS)
    (folder / DIFF).write_text(text)
    evidence_sample.seal(folder)
    assert failed(folder) == []


def test_a_run_that_was_cut_short_before_it_looked_into_the_base_is_accused_of_nothing(folder):
    (folder / "result.json").write_text('{"outcome": "interrupted", "exit_code": 143, "phase": "pre_commit"}')
    written_at_the_end = (FILES, TOOLS, "base_image.json", *HISTORIES, *IMAGES, "container_inspect.json")
    for name in (*written_at_the_end, "images_after.jsonl"):
        (folder / name).unlink()
    evidence_sample.seal(folder)
    assert failed(folder) == []


# ---- without containers ----------------------------------------------------------------------------------------------

WHEELS = "/var/lib/provisioner/sources/bundle/wheels"
KNOWN_SUM = known_bases.known()["wheels"][0]


ECHO = f"+ inside python3 -m pip install --no-cache-dir --no-index --find-links {WHEELS} a"


def natively(folder, files, sums, profile="offline", settings=f"SCENARIO_WHEELS={WHEELS}\n"):
    """Make the evidence that of a run without containers, with these wheels and this bundle."""
    edit_json(folder / "run.json", lambda run: run.update(runtime="native", profile=profile, base_image=""))
    (folder / "files/benchmarking/scenario.env").write_text(settings)
    (folder / "wheels.txt").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))
    if files is not None:
        (folder / "bundle.json").write_text(json.dumps({"files": files}))
    said_in_build(f"Looking in links: {WHEELS}")(folder)
    said_in_build(f"Processing {WHEELS}/a-1-py3-none-any.whl")(folder)
    evidence_sample.seal(folder)
    return judge(folder)[1]


def test_wheels_as_the_bundle_has_them_are_no_cheat(folder):
    checks = natively(folder, {"wheels/a": KNOWN_SUM}, {"a": KNOWN_SUM})
    assert checks["wheels_are_those_of_the_bundle"].outcome == checks["pip_takes_from_its_index"].outcome == "pass"
    assert "not vouched for" not in told(folder)


def test_wheels_of_the_sites_own_are_told_and_no_cheat(folder):
    checks = natively(folder, None, {"a": "7" * 64}, profile="registries")
    assert checks["wheels_are_those_of_the_bundle"].outcome == "pass"
    assert told(folder).endswith("base not vouched for: a is of no lock that is known")


def test_wheels_that_somebody_named_who_ran_the_script_by_hand_are_no_cheat(folder):
    """The scripts echo them, and the settings do not have them."""
    said_in_build(ECHO)(folder)
    checks = natively(folder, {"wheels/a": KNOWN_SUM}, {"a": KNOWN_SUM}, settings="")
    assert checks["wheels_are_those_of_the_bundle"].outcome == checks["pip_takes_from_its_index"].outcome == "pass"


@pytest.mark.parametrize(
    ("files", "sums"),
    [
        ({"wheels/a": "8" * 64}, {"a": KNOWN_SUM}),
        ({"wheels/a": KNOWN_SUM}, {"a": KNOWN_SUM, "b": "9" * 64}),
        (None, {"a": KNOWN_SUM}),
        ({}, {}),
    ],
    ids=["another sum", "a wheel more", "no bundle", "no sums"],
)
def test_wheels_that_the_bundle_has_not_are_caught(folder, files, sums):
    assert natively(folder, files, sums)["wheels_are_those_of_the_bundle"].outcome == "fail"


def test_a_base_for_a_machine_that_nobody_knows_is_vouched_for_by_nobody(folder):
    """Its labels name wheels that the rules know, and its toolkit is none that these make."""
    another_tree(folder)
    of_each(BASES, lambda image: image.update(Architecture="riscv64"))(folder)
    evidence_sample.seal(folder)
    assert "base not vouched for: provisioner/cuda:13.0-devel sha256:" in told(folder)
