"""Which repositories a host's apt has, by apt's own answers: none of its source files is parsed here."""

from __future__ import annotations

import re
import tempfile
from collections import namedtuple
from pathlib import Path

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError

# What `apt-get indextargets` is asked for; what it does not know it leaves as it was asked.
FIELDS = {
    "uri": "$(REPO_URI)",
    "suite": "$(RELEASE)",
    "component": "$(COMPONENT)",
    "entry": "$(SOURCESENTRY)",
    "origin": "$(ORIGIN)",
    "codename": "$(CODENAME)",
}
SEPARATOR = "\x1f"
Target = namedtuple("Target", FIELDS)

# Sources of one archive must agree in these. apt names the option, and Signed-By's value; of the others, the one value
# that anybody sets.
CONFLICT = re.compile(r"Conflicting values set for option (\S+) regarding source \S+ \S*?(?:: (.*?) !=|$)", re.S | re.M)
SET_TO = {"Trusted": "yes", "Check-Valid-Until": "no", "Check-Date": "no", "Allow-Insecure": "yes"}
ARMOUR = "-----BEGIN PGP"


def targets(host: Host, *options: str) -> list[Target]:
    """Return the lists of packages that apt's enabled sources name. Raise RefusalError where apt cannot read them.

    Without `--no-release-info` only those of which a Release file is here, with what that says.
    """
    form = SEPARATOR.join(FIELDS.values())
    code, out, errors = host.run("apt-get", "indextargets", *options, "--format", form, "Created-By: Packages")
    if code:
        raise RefusalError(f"apt cannot read the host's sources: {first_line(errors)}; mend them and run this again")
    rows = [line.split(SEPARATOR) for line in out.splitlines()]
    return [Target(*("" if word.startswith("$(") else word for word in row)) for row in rows if len(row) == len(FIELDS)]


def configured(host: Host, repository: dict, suite: str) -> str:
    """Return the source, as FILE:LINE, by which the host has a `repository` already; '' where it has not.

    Scheme, password, further slashes, a cache before it and a list of mirrors make no difference, nor do the keys that
    it is signed by: that is the site's choice. Raise RefusalError where a component is all that it lacks.
    """
    wanted = pattern(repository["url"])
    same = [
        target
        for target in targets(host, "--no-release-info")
        if target.suite.strip("/") == suite.strip("/")
        and any(wanted.search(place(address)) for address in addresses(host, target.uri))
    ]
    lacks = set(repository.get("components", "").split()) - {target.component for target in same}
    if same and lacks:
        raise RefusalError(
            f"the host has the repository {repository['name']} by {same[0].entry}, without {' '.join(sorted(lacks))}; "
            "add that there, and run this again"
        )
    return same[0].entry if same else ""


def pattern(url: str) -> re.Pattern:
    """Return what matches the `place` of each address of the repository at `url`; a variable is any one word."""
    words = re.split(r"\$\(?\w+\)?", place(url))
    return re.compile(rf"(?:^|/){'[^/]+'.join(map(re.escape, words))}$", re.IGNORECASE)


def place(uri: str) -> str:
    """Return the host and path of an address."""
    return re.sub(r"/+", "/", re.sub(r"^[\w+]+:/*(?:[^/@]*@)?", "", uri)).strip("/")


def addresses(host: Host, uri: str) -> list[str]:
    """Return the addresses that a source's `uri` stands for: itself, or those in the file of mirrors that it names."""
    kind, _unused, path = uri.partition(":")
    if kind != "mirror+file":
        return [uri]
    return [line.split()[0] for line in host.read("/" + path.strip("/")).splitlines() if line.strip()]


def lacking(host: Host, own: str, components: list[str]) -> str:
    """Return the stanzas that add the missing `components` to the distribution's archives; '' where all is there.

    The host's own sources say where these are. `own` is the file that the stanzas are for.
    """
    have: dict[tuple[str, str], list[str]] = {}
    for target in own_archives(host):
        if not target.entry.startswith(own):
            have.setdefault((target.uri, target.suite), []).append(target.component)
    stanzas = []
    for (uri, suite), present in sorted(have.items()):
        missing = [each for each in components if each not in present]
        if missing:
            stanza = {"Types": "deb", "URIs": uri, "Suites": suite, "Components": " ".join(missing)}
            stanzas.append(agreeing(host, stanza, own))
    return "\n".join(stanzas).strip()


def own_archives(host: Host) -> list[Target]:
    """Return the lists of packages that are of the distribution's own archives, those that have its main component."""
    said = {(target.uri, target.suite): target for target in targets(host)}
    found = targets(host, "--no-release-info")
    main = {(target.uri, target.suite) for target in found if target.component == "main"}
    return [
        target
        for target in found
        if (target.uri, target.suite) in main and _is_own(host, said.get((target.uri, target.suite), target))
    ]


def _is_own(host: Host, target: Target) -> bool:
    """Return whether it is of the distribution's own archives, by its Release file, or by its address without one."""
    name, codename = host.os_release.get("ID", ""), host.os_release.get("VERSION_CODENAME", "")
    suites = {codename, f"{codename}-updates", f"{codename}-security"}
    is_its = target.origin.lower() == name if target.origin else name in target.uri
    return is_its and (target.codename or target.suite) in suites


def agreeing(host: Host, stanza: dict, own: str) -> str:
    """Return `stanza` with the options that the host's sources of the same archive have: apt refuses it without.

    Raise RefusalError where there is an option whose value apt does not tell.
    """
    fields = dict(stanza)
    while True:
        text = "".join(f"{name}: {value}\n" for name, value in fields.items())
        errors = together(host, text, own)
        if not errors:
            return text
        option, value = next(iter(CONFLICT.findall(errors)), ("", ""))
        value = _folded(value) or SET_TO.get(option, "")
        if not value or option in fields:
            raise RefusalError(
                f"{fields['URIs']} {fields['Suites']} lacks {fields['Components']}, and apt refuses a source of "
                f"provisioner's for that: {first_line(errors)}; add it to the host's own and run this again"
            )
        fields[option] = value


def _folded(value: str) -> str:
    """Return a value as a field holds it; a key's empty line is a point there."""
    lines = [line.strip() for line in value.strip().splitlines()]
    if lines and lines[0].startswith(ARMOUR):
        lines = ["", lines[0], *([] if "." in lines else ["."]), *lines[1:]]
    return "\n ".join(lines)


def together(host: Host, text: str, own: str) -> str:
    """Return what apt says against the host's sources with one more, of the deb822 `text`, in place of the file `own`.

    '' where it takes them. Nothing is fetched.
    """
    told = host.ask("apt-config", "shell", "FOLDER", "Dir::Etc::sourceparts/d")
    folder = Path(told.partition("=")[2].strip("'") or "/etc/apt/sources.list.d")
    with tempfile.TemporaryDirectory(prefix="provisioner-") as name:
        for path in folder.glob("*"):
            if path != Path(own):
                (Path(name) / path.name).symlink_to(path)
        # The last, so that what differs from it is the host's own.
        (Path(name) / "zzz-tried.sources").write_text(text, encoding="utf-8")
        code, _unused, errors = host.run(
            "apt-get", "indextargets", "-o", f"Dir::Etc::sourceparts={name}/", "--format", "x"
        )
    return errors if code else ""


def first_line(errors: str) -> str:
    """Return the first error of apt's, without its mark."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return next((line[3:] for line in lines if line.startswith("E: ")), lines[0] if lines else "no message")
