"""Where a host's packages come from, and whether these sources give what `prepare` and a run will ask them for.

Each kind of source gives questions: what its own client would ask first, so that what answers here serves there. A
question is only of what the host lacks. `asking` asks; nothing that a source holds is kept.
"""

from __future__ import annotations

import configparser
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import packages
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils import signed_repository as signed
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.host import Host, RefusalError
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.installation import foresee
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.asking import (
    Answer,
    Asker,
    UnreachedError,
    parted,
)
from ansible_collections.provisioner.gpu_hosts.plugins.module_utils.sources.findings import FAIL, OK, WARN, finding

PYPI = "https://pypi.org/simple"
NPM = "https://registry.npmjs.org/"
CLI = "@devcontainers/cli"
# As the kernel names a machine, and as apt does.
APT_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# By a repository's name among the checks: what names its address, and its key's.
SETTINGS = {
    "driver": ("gpu_driver_repository", "gpu_driver_repository"),
    "engine": ("docker_engine_repository_url", "docker_engine_repository_key_url"),
    "toolkit": ("nvidia_container_toolkit_url", "nvidia_container_toolkit_key_url"),
    "node": ("devcontainer_cli_nodesource_url", "devcontainer_cli_nodesource_key_url"),
}
# A key is a few kilobytes; what is larger is something else.
LARGEST_KEY_BYTES = 1_000_000
# Enough to see what a server's list of references is.
REFERENCES_BYTES = 1000
# Some servers of git answer nobody else.
AS_GIT = (("User-Agent", "git/2.39"),)
ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
# The names in pip's arguments: `torch==2.1`, `torch[extra]`, `torch; marker`, and no path or option.
REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?=\[|[<>=!~;@]|$)")
# Those of pip's options that are followed by a value of their own.
VALUED = re.compile(
    r"-[ifcrt]|--(index-url|extra-index-url|find-links|constraint|requirement|target|root|prefix|src|platform"
    r"|python-version|implementation|abi|cert|client-cert|proxy|timeout|retries|trusted-host|only-binary|no-binary"
    r"|progress-bar|root-user-action|upgrade-strategy|cache-dir|python)"
)


def fine(_answer: Answer) -> str:
    """Return what is wrong with an answer of which no more is wanted than that it is one."""
    return ""


class Question(NamedTuple):
    """What a source is asked.

    `check` names the finding; `urls` are asked in turn, until one is not 404; `setting` names the address to a person.
    `trouble` says what is wrong with an answer 200, of which `read` bytes are read. `remedies` are for codes that mean
    something of their own here, and `known` are codes with which its client may still be served, each with why;
    `spared` is why it may be whatever is answered, '' where that is not so.
    """

    check: str
    urls: tuple[str, ...]
    setting: str
    headers: tuple[tuple[str, str], ...] = ()
    read: int = 0
    trouble: Callable[[Answer], str] = fine
    remedies: tuple[tuple[int, str], ...] = ()
    known: tuple[tuple[int, str], ...] = ()
    spared: str = ""

    def answered(self, asker: Asker) -> dict[str, str]:
        """Ask, and return the finding."""
        try:
            answer = self._first(asker)
        except UnreachedError as error:
            return self._bad(str(error), asker.remedy(str(error), error.url, self.setting), self.spared)
        trouble = self.trouble(answer) if answer.status == 200 else ""
        if answer.status == 200 and not trouble:
            return finding(self.check, OK, str(answer))
        said = f"{answer}{trouble and ': '}{trouble}"
        remedy = dict(self.remedies).get(answer.status) or asker.remedy(said, answer.url, self.setting)
        return self._bad(said, remedy, self.spared or dict(self.known).get(answer.status, ""))

    def _bad(self, said: str, remedy: str, spared: str) -> dict[str, str]:
        """Return the finding for an answer that will not do, or may not: then `spared` says why it may."""
        return finding(self.check, WARN if spared else FAIL, f"{said}; {spared}" if spared else said, remedy)

    def _first(self, asker: Asker) -> Answer:
        """Return the answer of the first address that is not 404, or else of the first."""
        answers = []
        for url in self.urls:
            answer = asker.ask(url, headers=self.headers, read=self.read)
            if answer.status != 404:
                return answer
            answers.append(answer)
        return answers[0]


def answered(asker: Asker, questions: list) -> list[dict[str, str]]:
    """Return a finding for each of `questions`, which are all asked at once, each once."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        return list(pool.map(lambda one: one.answered(asker), dict.fromkeys(questions)))


# --- signed repositories of packages ---


def to_come(host: Host, names: list[str], version: str, repositories: dict) -> dict | None:
    """Return the repository that `prepare` would add for these packages; None where it would not, or would refuse.

    `repositories` are by distribution, as module signed_repository takes them.
    """
    try:
        one = signed.pick(host, repositories)
        missing = names if one.get("shared_names") else packages.off(host, names, version)
        outcome = foresee(host, missing, version) if missing and not one.get("shared_names") else None
        return one if missing and packages.sources(host, repositories, outcome) else None
    except RefusalError:  # the role that would add it reports this
        return None


def repository(host: Host, name: str, one: dict) -> Iterator[Question]:
    """Yield the questions for the lists and the key of a repository that is to come; `name` is one of SETTINGS."""
    setting, key_setting = SETTINGS[name]
    yield Question(f"registry {name}", lists_of(host, one), setting)
    if signed.look_at_key(host, one):
        judge = partial(not_pinned, fingerprints=tuple(one["fingerprints"]))
        another = f"mend the address: set {key_setting}; or find out why the key is another one before you pin that"
        yield Question(
            f"registry {name}",
            (one["key_url"],),
            key_setting,
            read=LARGEST_KEY_BYTES,
            trouble=judge,
            remedies=((200, another),),
        )


def lists_of(host: Host, repository: dict) -> tuple[str, ...]:
    """Return the addresses of what a repository is signed by, the one that its client asks for first."""
    url, machine = repository["url"].rstrip("/"), os.uname().machine
    if repository["kind"] == "rpm":
        release = host.os_release.get("VERSION_ID", "").split(".")[0]
        return (f"{url.replace('$releasever', release).replace('$basearch', machine)}/repodata/repomd.xml",)
    url = url.replace("$(ARCH)", APT_MACHINES.get(machine, machine))
    suite = signed.suite(host, repository)
    folder = f"{url}/{suite.strip('/')}" if suite.endswith("/") else f"{url}/dists/{suite}"
    return tuple(f"{folder.rstrip('/')}/{file}" for file in ("InRelease", "Release"))


def not_pinned(answer: Answer, fingerprints: tuple[str, ...]) -> str:
    """Return why what was answered is not a key with one of `fingerprints`; '' where it is."""
    try:
        signed.pinned(answer.body, {"fingerprints": fingerprints})
    except ValueError as error:
        return f"{error}"
    return ""


# --- pip and npm ---


class Pip(NamedTuple):
    """Where pip looks: its index, what names that, whether there are further places, and what else it may go by.

    `logins` tells whether it has a file of logins, `arguments` names its arguments to a person.
    """

    index: str
    setting: str
    further: bool = False
    spared: str = ""
    logins: bool = False
    arguments: str = "scenario_python_packages"


IN_IMAGE = Pip(PYPI, "an --index-url in scenario_python_packages")
"""pip in an image knows nothing of its host's settings."""
OWN_IMAGE = IN_IMAGE._replace(spared="the base image may have pip settings of its own")
"""pip in a base image that is the site's own."""


def pip_of_root(read: Callable[[str], str]) -> Pip:
    """Return where root's pip looks on the host, by its files and variables; `read` gives a file's text."""
    values: dict[str, str] = {}
    for path in ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~root/.pip/pip.conf", "~root/.config/pip/pip.conf"):
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(read(path))
        except configparser.Error:
            continue  # pip itself says so
        for section in ("global", "install"):
            if parser.has_section(section):
                values.update(parser.items(section))
    values.update({name[4:].lower().replace("_", "-"): text for name, text in os.environ.items() if name[:4] == "PIP_"})
    further = any(values.get(name) for name in ("extra-index-url", "find-links", "no-index"))
    index = values.get("index-url") or PYPI
    own = next((name for name in ("trusted-host", "proxy") if values.get(name)), "")
    return Pip(
        index,
        "index-url in root's pip settings (PIP_INDEX_URL)",
        further,
        logins=bool(read("~root/.netrc")),
        spared=f"root's pip settings have {own}" if own else "",
    )


def pip_call(arguments: list[str], pip: Pip) -> Iterator[Question]:
    """Yield the question for the first package of one call of pip at its index; `pip` is where it looks by default."""
    names = []
    told = ""
    words = iter(str(word) for word in arguments)
    for word in words:
        option, _unused, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if VALUED.fullmatch(option):
            value = value or next(words, "")
        if option in {"-i", "--index-url"}:
            pip = pip._replace(index=value, setting=f"its --index-url in {pip.arguments}", spared="")
        elif option in {"--extra-index-url", "-f", "--find-links", "--no-index"}:
            pip = pip._replace(further=True)
        elif option in {"--trusted-host", "--cert", "--proxy"}:
            told = f"pip is told by {option} how to reach it"
        elif word.startswith(("http://", "https://")):
            yield Question("registry pip", (word,), f"the address in {pip.arguments}")
        elif REQUIREMENT.match(word):
            names.append(REQUIREMENT.match(word)[1])
    for name in names[:1]:
        yield from index_page(pip._replace(spared=told or pip.spared), name)


def index_page(pip: Pip, name: str) -> Iterator[Question]:
    """Yield the question for a package in an index; its page alone is asked for, since an index may be of any size."""
    if pip.index.startswith(("http://", "https://")):
        page = f"{pip.index.rstrip('/')}/{re.sub(r'[-_.]+', '-', name).lower()}/"
        missing = f"it has no {name}: set {pip.setting} to an index that has it"
        known = ((404, f"pip may find {name} in its further places"),) if pip.further else ()
        known += ((401, "root's ~/.netrc may have a login for it"),) if pip.logins else ()
        yield Question("registry pip", (page,), pip.setting, remedies=((404, missing),), known=known, spared=pip.spared)


def npm_package(registry: str) -> Question:
    """Return the question for the Dev Container CLI at npm's registry."""
    url = f"{(registry or NPM).rstrip('/')}/{urllib.parse.quote(CLI, safe='@')}"
    login = "root's npm settings may have a login for it"
    setting = "registry in root's npm settings (`npm config set registry`)"
    missing = f"it has no {CLI}: set {setting} to one that has it"
    return Question("registry npm", (url,), setting, remedies=((404, missing),), known=((401, login), (403, login)))


# --- git ---


def git_repository(url: str) -> Iterator[Question]:
    """Yield the question whether a repository can be cloned over HTTP; other protocols are left to git."""
    if url.startswith(("http://", "https://")):
        question = f"{url.rstrip('/')}/info/refs" + ("&" if "?" in url else "?") + "service=git-upload-pack"
        private = (
            f"{parted(url)[0]} does not exist or is private: name one that is there (scenario_username, "
            "scenario_xformers_url), by SSH where it is private"
        )
        yield Question(
            "registry xformers",
            (question,),
            "scenario_xformers_url",
            headers=AS_GIT,
            read=REFERENCES_BYTES,
            trouble=no_references,
            remedies=((401, private), (404, private)),
        )


def no_references(answer: Answer) -> str:
    """Return why an answer is not a list of references, as a server of git or a plain one gives it; '' where it is."""
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    if kind == ADVERTISEMENT or re.match(rb"[0-9a-f]{40,64}\t", answer.body):
        return ""
    return f"that is not a git repository, but {kind or 'something else'}"
