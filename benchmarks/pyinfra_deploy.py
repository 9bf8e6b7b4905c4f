"""For pyinfra: the state that `provisioner prepare` keeps on a Debian host, of which noop_prepare.py tells the rest.

Operations are pyinfra's own; where it has none, its facts are asked and a shell command is left for what is off.
"""

import json
import os
from io import StringIO
from pathlib import Path

from pyinfra import host
from pyinfra.facts.files import File, FileContents
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

state = json.loads(Path(os.environ["NOOP_PREPARE_STATE"]).read_text(encoding="utf-8"))

# Without a GPU neither the driver nor the container toolkit is wanted.
if "0x10de" in str(host.get_fact(Command, "cat /sys/bus/pci/devices/*/vendor 2>/dev/null || true")):
    server.shell(commands=["exit 1"])

files.directory(path="/etc/provisioner", mode="755", user="root", group="root")
if state["ca_bundle"]:
    files.put(src=state["ca_bundle"], dest=state["ca_path"], mode="644", user="root", group="root")
    settings = StringIO(state["apt_settings"])
    files.put(src=settings, dest=state["apt_settings_path"], mode="644", user="root", group="root")

apt.packages(packages=state["packages"])
files.directory(path=str(Path(state["drop_in"]).parent), mode="755", user="root", group="root")
files.put(src=StringIO(state["drop_in_content"]), dest=state["drop_in"], mode="644", user="root", group="root")
for path, content in state["variables"]:
    files.put(src=StringIO(content), dest=path, mode="600", user="root", group="root")
systemd.service(service="docker.service", running=True, enabled=True)
if not host.get_fact(Command, "docker version --format '{{.Server.Version}}'"):
    server.shell(commands=["systemctl restart docker.service"])

cli = f"{state['prefix']}/node_modules/@devcontainers/cli"
package = host.get_fact(FileContents, path=f"{cli}/package.json")
version = json.loads("\n".join(package))["version"] if package else ""
if version != state["cli_version"]:
    server.shell(commands=[f"npm install --prefix {state['prefix']} @devcontainers/cli@{state['cli_version']}"])
files.file(path=f"{cli}/devcontainer.js")
files.file(path=f"{cli}/dist/spec-node/devContainersSpecCLI.js")
if not str(host.get_fact(Command, f"{state['node']} --version")).startswith("v2"):
    server.shell(commands=["exit 1"])
files.directory(path=str(Path(state["path"]).parent), mode="755", user="root", group="root")
files.put(
    src=StringIO(state["command"].replace("@NODE@", state["node"])),
    dest=state["path"],
    mode="755",
    user="root",
    group="root",
)
files.link(path=state["link"], target=state["path"])
if host.get_fact(File, path="/run/reboot-required"):
    print(f"{host.name} wants a restart")
