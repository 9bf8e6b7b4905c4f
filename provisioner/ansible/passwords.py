"""The passwords that a site's settings say are to be asked for: asked here, since Ansible has no terminal in a job.

What a person or a program has answered is kept in memory, as a file that is nowhere on disk, goes with this process and
is read by whoever runs as its user. Ansible is told that file's path.
"""

from __future__ import annotations

import functools
import getpass
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from provisioner.errors import Exit, ProvisionerError
from provisioner.system.paths import given

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from provisioner.ansible.site_settings import Site

__all__ = ["NAMES", "for_job", "variables", "with_become"]

CONNECTION = "ANSIBLE_CONNECTION_PASSWORD_FILE"
BECOME = "ANSIBLE_BECOME_PASSWORD_FILE"
VAULT = "ANSIBLE_VAULT_PASSWORD_FILE"
VAULTS = "ANSIBLE_VAULT_IDENTITY_LIST"
NAMES = frozenset({CONNECTION, BECOME, VAULT, VAULTS})
"""The variables that name where passwords are."""

_MEMORY = f"/proc/{os.getpid()}/fd/"
PROMPTS = ("prompt", "prompt_ask_vault_pass")
"""What a vault's password is asked for by, in the place of a file."""


class Password(NamedTuple):
    """A password that Ansible needs for each host."""

    file: str
    """The setting that names its file."""
    ask: str
    """The setting by which it is asked for."""
    variable: str
    what: str


CONNECTIONS = Password("CONNECTION_PASSWORD_FILE", "DEFAULT_ASK_PASS", CONNECTION, "SSH password")
BECOMING = Password("BECOME_PASSWORD_FILE", "DEFAULT_BECOME_ASK_PASS", BECOME, "BECOME password")


def variables(site: Site, *, job: bool) -> dict[str, str]:
    """Return the variables by which Ansible finds the passwords that were asked for, or that programs have told.

    `job` says whether hosts are reached, and not an inventory read alone. Each is asked for once. Raise
    ProvisionerError (code 2) where a question cannot be asked, or has no answer.
    """
    found = _vaults(site)
    if job:
        found |= _host(site, CONNECTIONS)
        becoming = BECOMING
        if site.is_on(CONNECTIONS.ask):  # as with Ansible: an empty answer means the first password
            becoming = BECOMING._replace(what="BECOME password[defaults to SSH password]")
        found |= _host(site, becoming, found.get(CONNECTION, ""))
    return found


def for_job(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the variables for a job, with the passwords of hosts in files of `folder`, which is removed once read.

    Ansible looks for the true path of such a file, and what is in memory has none.
    """
    found = dict(variables)
    for name in (CONNECTION, BECOME):
        if variables.get(name, "").startswith(_MEMORY):
            path = folder / name.lower()
            path.touch(mode=0o600)
            path.write_bytes(given(variables[name]).read_bytes())
            found[name] = str(path)
    return found


def with_become(site: Site) -> bool:
    """Return whether there is a password for becoming root."""
    told = {"BECOME_PASSWORD_FILE", "become.sudo.become_pass", "become.runas.become_pass", "become.su.become_pass"}
    return bool(told & set(site.given)) or site.is_on("DEFAULT_BECOME_ASK_PASS")


def _host(site: Site, password: Password, default: str = "") -> dict[str, str]:
    """Return what names the file with a password: nothing where Ansible reads the site's own, or there is none."""
    if site.is_on(password.ask):
        where = site.given[password.ask].where
        return {password.variable: _asked(password.what, where, password.variable, default)}
    if password.file in site.given:
        source, where = site.given[password.file]
        if not _path(source).exists():
            raise _bad(f"{where} has the {password.what} in {_path(source)}, which does not exist", "name another file")
        told = _told(source)
        return {password.variable: told} if told else {}
    return {}


def _vaults(site: Site) -> dict[str, str]:
    found = {}
    if "DEFAULT_VAULT_PASSWORD_FILE" in site.given and (told := _told(site.given["DEFAULT_VAULT_PASSWORD_FILE"].value)):
        found[VAULT] = told
    default = site.given["DEFAULT_VAULT_IDENTITY"].value if "DEFAULT_VAULT_IDENTITY" in site.given else "default"
    listed = site.given.get("DEFAULT_VAULT_IDENTITY_LIST")
    slugs = [slug for part in listed.value.split(",") if (slug := part.strip())] if listed else []
    kept = [_vault(slug, default, listed.where) for slug in slugs] if listed else []
    if site.is_on("DEFAULT_ASK_VAULT_PASS"):
        where = site.given["DEFAULT_ASK_VAULT_PASS"].where
        kept.append(f"{default}@{_asked('Vault password', where, VAULT)}")
    return found | ({VAULTS: ",".join(kept)} if kept != slugs else {})


def _vault(slug: str, default: str, where: str) -> str:
    """Return one vault of the list, with what was asked or told in the place of what it is asked for by."""
    name, source = slug.split("@", 1) if "@" in slug else ("", slug)
    if source in PROMPTS:
        return f"{name or default}@{_asked(f'Vault password ({name or default})', where, VAULTS)}"
    told = _told(source, name)
    return f"{name or default}@{told}" if told else slug


@functools.cache
def _asked(what: str, where: str, variable: str, default: str = "") -> str:
    """Return the path of what a person has answered, on the terminal; `default` where that is nothing."""
    if not _has_terminal():
        silent = f"{where} has Ansible ask for the {what}, but there is no terminal"
        raise _bad(silent, f"name a file with it in {variable}")
    try:
        answer = getpass.getpass(f"{what}: ")
    except EOFError:
        answer = ""
    if not answer and default:
        return default
    if not answer:
        raise _bad(f"no {what} was given, and {where} asks for it", f"give it, or name a file with it in {variable}")
    return _kept(answer.encode(errors="surrogateescape"))


@functools.cache
def _told(source: str, vault: str = "") -> str:
    """Return the path of what a program tells; '' where `source` is none, which Ansible then reads by itself.

    A program may ask, and in a job it would wait for an answer that nobody can give.
    """
    path = _path(source)
    if not path.is_file() or not os.access(path, os.X_OK):
        return ""
    # As Ansible does: a program of this name gets the vault's id.
    command = [str(path), *(["--vault-id", vault] if path.stem.endswith("-client") and vault else [])]
    talks = _has_terminal()
    nowhere, kept = (None, None) if talks else (subprocess.DEVNULL, subprocess.PIPE)
    try:
        done = subprocess.run(
            command, stdin=nowhere, stdout=subprocess.PIPE, stderr=kept, start_new_session=not talks, check=False
        )
    except OSError as error:
        raise _bad(f"the password program {path}: {error.strerror}", "mend it, or name a file") from error
    if done.returncode or not done.stdout.strip():
        ended = f"ended with {done.returncode}" if done.returncode else "printed nothing"
        why = (done.stderr or b"").decode(errors="replace").strip().splitlines()[-1:]
        raise _bad(": ".join([f"the password program {shlex.join(command)} {ended}", *why]), "mend it, or name a file")
    return _kept(done.stdout.strip(b"\r\n"))


def _path(source: str) -> Path:
    return given(os.path.expandvars(source))


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _kept(secret: bytes) -> str:
    """Keep a secret in memory and return the path that it is read from."""
    file = os.memfd_create("password")
    os.fchmod(file, 0o600)  # else Ansible takes it for a program
    os.write(file, secret)
    return f"{_MEMORY}{file}"


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
