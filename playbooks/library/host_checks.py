#!/usr/bin/python
"""Ansible module: what a host lacks for Scenario A. Looks at everything in one call and changes nothing."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_checks
short_description: What a host lacks for Scenario A
description:
  - Runs as whoever logs in, and asks sudo only where a question needs it.
options:
  profile: {description: The profile, as its file has it., type: dict, required: true}
  xformers_url: {description: What xformers is cloned from; empty where the profile makes it., type: str, default: ""}
  pip_index: {description: pip's index, where the host's own configuration names none., type: str, default: ""}
  controller_time: {description: The controller's clock, seconds since 1970., type: float, required: true}
  ca_pem: {description: Certificates to trust besides the host's own., type: str, default: ""}
  runtime: {description: What a run happens in., type: str, choices: [devcontainer, native], default: devcontainer}
  native_checks: {description: "For native, the program that looks at compiler and torch.", type: str, default: ""}
  repositories:
    description: Where `prepare` would get driver, engine, toolkit and node, by these names; empty for the host's own.
    type: dict
    default: {}
  python: {description: "For native, the site's Python, which has torch.", type: str, default: python3}
  arch_list: {description: What is compiled for; empty for the GPUs., type: str, default: ""}
  refusal: {description: Why `prepare` would refuse the host; empty where it would not., type: str, default: ""}
  notes: {description: What `prepare` would tell of the host., type: list, elements: str, default: []}
  sources_only:
    description:
      - Only look at what `prepare` does not bring - what the profile takes things from and, for native, compiler and
        torch - and fail where something of it is missing.
    type: bool
    default: false
  minimum_free_bytes: {description: Free space that a run needs., type: int, default: 20000000000}
"""

RETURN = r"""
host_findings:
  description: One for each check - its name, its outcome (ok, warn or fail), what was seen, and how to mend it.
  type: list
  elements: dict
  returned: always
"""

import http.client
import json
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from ansible.module_utils import provisioner_gpu_driver as gpu_driver
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.provisioner_engine import Engine
from ansible.module_utils.provisioner_host import Host as Probed
from ansible.module_utils.provisioner_packages import lock_holder

OK, WARN, FAIL = "ok", "warn", "fail"
PREPARE = "`provisioner prepare` installs it"
SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
# A run works there; not all that it needs is installed for them.
IN_PART = {"rhel": "9", "rocky": "9", "almalinux": "9"}
# What the probes of the roles are written for.
OLDEST_PYTHON = (3, 9)
STATE = "/var/lib/provisioner"
DEVCONTAINER = "/opt/provisioner/bin/devcontainer"
RESTART = "/run/reboot-required"
MAXIMUM_SKEW_SECONDS = 60
TIMEOUT_SECONDS = 10
# The first import of torch after a start reads gigabytes.
IMPORT_TIMEOUT_SECONDS = 120
# An image registry asks for a token first, and has nothing at its root.
REGISTRY_ANSWERS = (401, 404)
# Below a repository's address there are folders, which not every server shows.
REPOSITORY_ANSWERS = (403, 404)


class Host:
    """How the checks ask the host; whatever is not there answers with an empty text."""

    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        self.hung = set()

    @cached_property
    def engine_is_stopped(self):
        """Whether a question would start the engine, which may stop containers that outlived it."""
        return Engine(Probed()).stopped

    def say(self, *command):
        """All that a command says, also where it fails; empty where it is not there."""
        if not shutil.which(command[0]):
            return ""
        _, out, err = self.module.run_command(["timeout", str(TIMEOUT_SECONDS), *command])
        return (out + err).strip()

    def ask(self, *command, root=False):
        """Standard output of a command, stripped; empty where it failed or is not there."""
        sudo = self.sudo if root else []
        if command[0] in self.hung or not all(map(shutil.which, [*sudo[:1], command[0]])):
            return ""
        if command[0] == "docker" and self.engine_is_stopped:
            return ""
        # An engine that hangs, say, must not hold up the rest.
        words = ["timeout", str(TIMEOUT_SECONDS), *sudo, *command]
        code, out, _ = self.module.run_command(words, environ_update={"LC_ALL": "C"})
        if code == 124:  # it is not waited for again
            self.hung.add(command[0])
        return out.strip() if code == 0 else ""


def finding(check, outcome, detail, remedy=""):
    """One entry of host_findings."""
    return {"check": check, "outcome": outcome, "detail": detail, "remedy": remedy}


def read(path):
    """Text of a file, stripped; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def root(host):
    """Whether what needs root can be done."""
    if os.geteuid() == 0:
        return finding("root", OK, "root, by login or by sudo")
    if host.ask("id", "-u", root=True) == "0":
        return finding("root", OK, "sudo asks for no password")
    remedy = "allow this user sudo without a password, or set ansible_become_password in the inventory"
    return finding("root", FAIL, "not root, and sudo asks for a password or is not there", remedy)


def python(_host):
    """Whether the Python that Ansible found is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        remedy = f"install Python {wanted} or newer, and set ansible_python_interpreter to it"
        return finding("python", FAIL, f"{version} is too old", remedy)
    return finding("python", OK, version)


def system(_host):
    """Whether it is a distribution that the roles know."""
    pairs = (line.split("=", 1) for line in read("/etc/os-release").splitlines() if "=" in line)
    release = {key: value.strip("\"'") for key, value in pairs}
    name, version = release.get("ID", "unknown"), release.get("VERSION_ID", "")
    detail = release.get("PRETTY_NAME", f"{name} {version}".strip())
    if version in SUPPORTED.get(name, ()):
        return finding("os", OK, detail)
    if version.split(".")[0] == IN_PART.get(name):
        remedy = "set docker_engine_source to docker, and install Node 20 with npm; `prepare` was not tried there"
        return finding("os", WARN, detail, remedy)
    return finding("os", FAIL, detail, "use Debian 12 or 13, or Ubuntu 22.04 or 24.04")


def disk(host):
    """Whether there is room for a run, where the engine keeps its images."""
    folder = Path(host.ask("docker", "info", "--format", "{{.DockerRootDir}}", root=True) or "/var/lib")
    # A folder that is not there yet will be on the file system of the one above it.
    folder = next(path for path in (folder, *folder.parents) if path.exists())
    needed = host.params["minimum_free_bytes"]
    free = min(shutil.disk_usage(path).free for path in (folder, Path("/var/lib")))
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free < needed:
        return finding("disk", FAIL, detail, f"make room: a run takes {needed / 1e9:.0f} GB")
    return finding("disk", OK, detail)


def clock(host):
    """Whether the host's clock agrees with the controller's; TLS and apt refuse one that is far off."""
    skew = time.time() - host.params["controller_time"]
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the controller"
    if abs(skew) > MAXIMUM_SKEW_SECONDS:
        return finding("clock", WARN, detail, "let the host and the controller follow a time server")
    return finding("clock", OK, detail)


def apt(_host):
    """Whether another program holds apt's lock; None where there is no apt."""
    if not shutil.which("apt-get"):
        return None
    path, holder = lock_holder(Probed())
    if path:
        remedy = "wait until it is done; `prepare` and `run` wait for it too"
        return finding("apt", WARN, f"{holder} holds {path}", remedy)
    return finding("apt", OK, "no other program holds its lock")


def prepare(host):
    """What `prepare` would refuse, or tell, by the very look that it begins with."""
    told = [(FAIL, line) for line in (host.params["refusal"],) if line] + [
        (WARN, line) for line in host.params["notes"]
    ]
    for outcome, line in told:
        what, _, remedy = line.partition("; ")
        yield finding("prepare", outcome, what, remedy)


def engine(host):
    """Whether a Docker engine answers."""
    version = host.ask("docker", "version", "--format", "{{.Server.Version}}", root=True)
    if not version and "docker" not in host.hung:  # the client may be missing
        version = Engine(Probed()).version
    if version:
        return finding("engine", OK, f"Docker {version} answers")
    if shutil.which("dockerd"):
        remedy = "see `prepare` above" if host.params["refusal"] else "`provisioner prepare` starts it"
        return finding("engine", WARN, "there is a Docker engine that does not answer", remedy)
    return finding("engine", WARN, "no Docker engine", PREPARE)


def devcontainer_cli(host):
    """Whether the Dev Container CLI is there, ours or another, or else a Node for it."""
    for command in (DEVCONTAINER, "devcontainer"):
        version = host.ask(command, "--version")
        if version:
            return finding("devcontainer_cli", OK, f"{command} {version}")
    node = host.ask("node", "--version")
    major = re.match(r"v(\d+)", node)
    detail = "no Dev Container CLI; " + (f"Node {node}" if node else "no Node")
    if node and major and int(major.group(1)) < 20:
        detail += ", which is too old for it"
    return finding("devcontainer_cli", WARN, detail, PREPARE)


def gpu(host):
    """Whether there is an NVIDIA GPU whose driver works."""
    probed = Probed()
    hardware, found = gpu_driver.hardware(), gpu_driver.driver(probed)
    loaded, mismatch = found["loaded"], found["mismatch"]
    if found["answers"]:
        names = Counter(host.ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines())
        cards = ", ".join(f"{number} x {name}" if number > 1 else name for name, number in names.items())
        detail = f"{cards}; driver {found['version']}"
        no_fabric = finding("gpu", WARN, f"{detail}; {gpu_driver.NO_FABRIC}", gpu_driver.FABRIC_REMEDY)
        return no_fabric if gpu_driver.lacks_fabric_manager(probed) else finding("gpu", OK, detail)
    if mismatch:
        remedy = "restart the host; with gpu_driver_reboot=auto `provisioner prepare` does it"
        return finding("gpu", FAIL, f"driver/library version mismatch: {mismatch}", remedy)
    if not hardware:
        return finding("gpu", WARN, "no NVIDIA GPU", "none is needed to compile; the attention test will be skipped")
    there = f"{len(hardware)} on the PCI bus"
    if loaded:
        remedy = "read 'dmesg | grep -i nvidia' on the host, and run `provisioner prepare`"
        return finding(
            "gpu", FAIL, f"{there}; driver {loaded} is loaded and does not answer: {found['complaint']}", remedy
        )
    installed = host.ask("modinfo", "-F", "version", "nvidia")
    if installed:
        remedy = "`provisioner prepare` loads it, or says what is in the way"
        return finding("gpu", WARN, f"{there}; driver {installed} is installed and not loaded", remedy)
    return finding("gpu", WARN, f"{there}; no driver", PREPARE)


def container_toolkit(host):
    """Whether the engine can give a container the GPUs; None where there are none."""
    if not (gpu_driver.hardware() or gpu_driver.driver(Probed())["answers"]):
        return None
    info = json.loads(host.ask("docker", "info", "--format", "{{json .}}", root=True) or "{}")
    if "nvidia" in (info.get("Runtimes") or {}):
        return finding("container_toolkit", OK, "the Docker engine knows the runtime nvidia")
    if any(str(one.get("ID")).startswith("nvidia.com/gpu=") for one in info.get("DiscoveredDevices") or ()):
        return finding("container_toolkit", OK, "the Docker engine knows the GPUs by CDI")
    return finding("container_toolkit", WARN, "the Docker engine does not know the runtime nvidia", PREPARE)


def restart(_host):
    """Whether packages that were upgraded want a restart; None where they do not."""
    if not Path(RESTART).exists():
        return None
    names = ", ".join(dict.fromkeys(read(f"{RESTART}.pkgs").split())) or "its packages"
    return finding("restart", WARN, f"the host is to be restarted for {names}", "restart it before a run")


# --- what a run without a container needs ---


def native(host):
    """What the runtime native needs of the site: findings of the program that each run begins with, by its Python."""
    params = host.params
    if params["runtime"] != "native":
        return []
    python = params["python"]
    if not shutil.which(python):
        remedy = "install Python and a CUDA build of torch for it, or name the site's by scenario_a_python"
        return [finding("site python", FAIL, f"no {python} on PATH", remedy)]
    words = ["timeout", str(IMPORT_TIMEOUT_SECONDS), python, "-B", "-", params["arch_list"]]
    code, out, err = host.module.run_command(words, data=params["native_checks"])
    try:
        return json.loads(out)
    except ValueError:
        said = (err.strip().splitlines() or [f"exit code {code}"])[-1]
        remedy = f"see that {python} works on the host: `{python} -c 'import torch'`"
        return [finding("site python", FAIL, f"{python} could not look: {said}", remedy)]


# --- where packages come from ---


def apt_mirrors(host):
    """Where the host's apt gets its packages."""
    proxy = dict(re.findall(r'^Acquire::(https?)::[Pp]roxy "(.*)";', host.ask("apt-config", "dump"), re.M))
    # Without --no-release-info a host that was never updated has no targets.
    targets = host.ask("apt-get", "indextargets", "--no-release-info", "--format", "$(BASE_URI)").splitlines()
    for base in dict.fromkeys(target for target in targets if target.startswith("http")):
        yield "apt", f"{base}InRelease", proxy.get(base.split(":")[0]), ()


def package_indexes(host):
    """Where pip gets its packages, as it is set up and as the profile says."""
    index = (
        os.environ.get("PIP_INDEX_URL")
        or host.ask("pip3", "config", "get", "global.index-url")
        or host.params["pip_index"]
    )
    arguments = [word for words in host.params["profile"].get("python_packages") or () for word in words]
    indexes = [index, *(word for word in arguments if word.startswith(("http://", "https://")))]
    yield from (("pip", f"{url.rstrip('/')}/", None, ()) for url in indexes if url)


def npm_registry(host):
    """Where npm gets its packages."""
    url = host.ask("npm", "config", "get", "registry")
    if url.startswith("http"):
        yield "npm", url, None, ()


def repository(host):
    """Where xformers is cloned from."""
    if host.params["xformers_url"].startswith("http"):
        yield "xformers", host.params["xformers_url"], None, ()


def image_registry(host):
    """Where the base image is pulled from; nothing where only an engine could tell."""
    profile = host.params["profile"]
    if host.params["runtime"] != "devcontainer" or profile.get("base_image_build"):
        return
    image = profile["base_image"]
    first = image.split("/")[0]
    if "/" in image and (set(".:") & set(first) or first == "localhost"):
        yield "image", f"https://{first}/v2/", None, REGISTRY_ANSWERS
        return
    default = host.ask("docker", "info", "--format", "{{.IndexServerAddress}}", root=True)
    if default.startswith("http"):
        yield "image", default, None, REGISTRY_ANSWERS


def repositories(host):
    """Where `prepare` gets what the host lacks and its distribution has not."""
    gpus = gpu_driver.hardware()
    lacking = {
        "driver": gpus and not gpu_driver.driver(Probed())["answers"],
        "engine": not shutil.which("dockerd"),
        "toolkit": gpus and not shutil.which("nvidia-ctk"),
        "node": devcontainer_cli(host)["outcome"] != OK,
    }
    wanted = lacking if host.params["runtime"] == "devcontainer" else ("driver",)
    for name, url in host.params["repositories"].items():
        if url.startswith("http") and name in wanted and lacking[name]:
            yield name, url, None, REPOSITORY_ANSWERS


# Each gives (name, URL, proxy, further good answers), and may ask one of the host's programs, which takes a while.
PROFILE_SOURCES = (package_indexes, repository, image_registry)
SOURCES = (apt_mirrors, repositories, npm_registry, *PROFILE_SOURCES)


def registries(host, sources=SOURCES):
    """What the profile and the host's own configuration take things from, each once."""
    if not host.params["profile"].get("network", True):
        return []
    return list(dict.fromkeys(entry for source in sources for entry in source(host)))


def reach(entry, context):
    """Whether a URL answers; nothing of it is kept."""
    name, url, proxy, also = entry
    check, shown = f"registry {name}", re.sub(r"//[^/@]*@", "//", url)
    if shown != url:
        also = (*also, 401)  # the address holds a password, which is neither shown nor tried
    handlers = [urllib.request.HTTPSHandler(context=context)]
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    try:
        with urllib.request.build_opener(*handlers).open(shown, timeout=TIMEOUT_SECONDS) as answer:
            return finding(check, OK, f"{shown} answers {answer.status}")
    except urllib.error.HTTPError as error:
        if error.code in also:
            return finding(check, OK, f"{shown} answers {error.code}")
        remedy = "mend the address, or let this host through to it"
        return finding(check, FAIL, f"{shown} answers {error.code} {error.reason}", remedy)
    except (OSError, ValueError, http.client.HTTPException) as error:  # timeouts and TLS among them
        reason = getattr(error, "reason", error)
        if "CERTIFICATE_VERIFY_FAILED" in str(reason):
            remedy = "name the site's CA bundle: SSL_CERT_FILE on the controller, or site_ca_bundle in the inventory"
        else:
            remedy = "let this host through to it, set a proxy, or use another profile or mirror"
        return finding(check, FAIL, f"{shown}: {reason}", remedy)


def reached(host, sources=SOURCES):
    """A finding for each registry; all are asked at once."""
    context = ssl.create_default_context()
    if host.params["ca_pem"]:
        try:
            context.load_verify_locations(cadata=host.params["ca_pem"])
        except (ssl.SSLError, ValueError) as error:
            remedy = "mend the file that site_ca_bundle names"
            return [finding("site CA", FAIL, f"the bundle is not PEM: {error}", remedy)]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda entry: reach(entry, context), registries(host, sources)))


CHECKS = (root, python, system, disk, clock, apt, restart, gpu)
CONTAINER_CHECKS = (engine, devcontainer_cli, container_toolkit)


def main():
    """Look at everything and say what was seen."""
    module = AnsibleModule(
        argument_spec={
            "profile": {"type": "dict", "required": True},
            "xformers_url": {"type": "str", "default": ""},
            "pip_index": {"type": "str", "default": ""},
            "controller_time": {"type": "float", "required": True},
            # Not secret, but too long to be shown with every result.
            "ca_pem": {"type": "str", "default": "", "no_log": True},
            "runtime": {"type": "str", "choices": ["devcontainer", "native"], "default": "devcontainer"},
            "native_checks": {"type": "str", "default": "", "no_log": True},  # a program, too long to be shown
            "repositories": {"type": "dict", "default": {}},
            "python": {"type": "str", "default": "python3"},
            "arch_list": {"type": "str", "default": ""},
            "refusal": {"type": "str", "default": ""},
            "notes": {"type": "list", "elements": "str", "default": []},
            "sources_only": {"type": "bool", "default": False},
            "minimum_free_bytes": {"type": "int", "default": 20000000000},
        },
        supports_check_mode=True,
    )
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    host = Host(module)
    if module.params["sources_only"]:
        missing = [found for found in native(host) + reached(host, PROFILE_SOURCES) if found["outcome"] == FAIL]
        if missing:
            module.fail_json(msg=f"{missing[0]['detail']}; {missing[0]['remedy']}")
        module.exit_json(changed=False)
    container = CONTAINER_CHECKS if module.params["runtime"] == "devcontainer" else ()
    findings = [check(host) for check in CHECKS + container]
    findings = [*prepare(host), *(found for found in findings if found), *native(host), *reached(host)]
    module.exit_json(changed=False, host_findings=findings)


if __name__ == "__main__":
    main()
