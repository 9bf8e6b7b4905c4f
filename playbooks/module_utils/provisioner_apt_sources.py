"""What apt's sources on a host lack of the distribution's own components, such as Debian's non-free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.provisioner_host import Host


def lacking(host: Host, apt: Path, own: str, components: list[str]) -> str:
    """The stanzas that add what is missing of `components` to the distribution's own archives; '' where all is there.

    The host's own sources, below `apt`, say where these are. `own` is the file that the stanzas are for.
    """
    release = host.os_release
    codename = release.get("VERSION_CODENAME", "")
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    have, archives = {}, {}
    for stanza in _sources(host, apt, own):
        keyring = stanza.get("Signed-By", "")
        if "deb" not in stanza.get("Types", "").split() or stanza.get("Enabled", "yes").lower() in {"no", "false"}:
            continue
        if keyring and f"{release.get('ID')}-archive" not in keyring and "BEGIN PGP" not in keyring:
            continue
        for uri in stanza.get("URIs", "").split():
            for suite in set(stanza.get("Suites", "").split()) & suites:
                place = (uri.rstrip("/"), suite)
                have.setdefault(place, set()).update(stanza.get("Components", "").split())
                archives.setdefault(place, {**stanza, "Types": "deb", "URIs": uri, "Suites": suite})
    stanzas = []
    for place, present in sorted(have.items()):
        missing = [each for each in components if each not in present]
        if "main" in present and missing:
            fields = {**archives[place], "Components": " ".join(missing)}
            stanzas.append("\n".join(f"{name}: {value}" for name, value in fields.items()))
    return "\n\n".join(stanzas)


def _sources(host: Host, apt: Path, own: str) -> Iterator[dict]:
    """Every source that apt knows, but for those in the file `own`, as deb822 fields."""
    options = {"arch": "Architectures", "lang": "Languages", "target": "Targets"}
    for path in sorted([apt / "sources.list", *(apt / "sources.list.d").glob("*.list")]):
        for line in host.read(path).splitlines():
            match = re.match(r"\s*(deb|deb-src)\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s*([^#]*)", line)
            if match:
                kind, opts, uri, suite, parts = match.groups()
                extra = dict(each.split("=", 1) for each in (opts or "").split() if "=" in each)
                named = {options.get(key, key.title()): value.replace(",", " ") for key, value in extra.items()}
                yield {"Types": kind, "URIs": uri, "Suites": suite, "Components": parts.strip(), **named}
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        if str(path) != own:
            for stanza in re.split(r"\n\s*\n", host.read(path)):
                plain = re.sub(r"^#.*\n?", "", stanza, flags=re.MULTILINE)
                found = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", plain, re.MULTILINE)
                if found:
                    yield dict(found)
