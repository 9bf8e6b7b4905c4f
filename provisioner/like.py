"""A run that is to be repeated: what of it can be the same here, and what cannot.

Taken from it is what was measured, as far as it is a setting: profile, runtime, fork, architectures, jobs. Images,
packages and folders of the host are those of the profile here, whatever a stranger's evidence has: they run as root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner import inputs, sent_records
from provisioner.audit import shipped
from provisioner.audit.verdict import shown
from provisioner.errors import Exit, ProvisionerError
from provisioner.paths import given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioner.store import Store

__all__ = ["Like", "of_text", "worth"]

SETTINGS = {
    "scenario_a_xformers_ref": "xformers_ref",
    "scenario_a_arch_list": "arch_list",
    "scenario_a_max_jobs": "max_jobs",
    "scenario_a_nvcc_threads": "nvcc_threads",
}
"""Variables, by the field of a record's inputs that has them; null is the default."""
LOCAL = "file:"
"""How the address begins of what is on the host itself: there the profile puts it."""


@dataclass(frozen=True)
class Like:
    """A run that is to be repeated."""

    name: str
    """What the user called it."""
    record: Mapping[str, Any]

    @property
    def profile(self) -> str:
        """Its profile."""
        return str(self.record["profile"])

    @property
    def variables(self) -> dict[str, Any]:
        """What Ansible is told so that the inputs are the same."""
        told = self.record["inputs"]
        found = {name: str(told[field]) for name, field in SETTINGS.items() if told.get(field) is not None}
        url = told.get("xformers_url")
        if url and not url.startswith(LOCAL):
            found["scenario_a_xformers_url"] = url
        return found | {"scenario_a_runtime": self.record["runtime"]}

    def differences(self) -> list[str]:
        """Return what cannot be the same here, or nobody knows yet, in words."""
        told, profile = self.record["inputs"], inputs.profile_data(self.profile)
        found = []
        if self.record["runtime"] == "devcontainer" and told.get("base_image") != profile["base_image"]:
            found.append(
                f"its base image was {told.get('base_image')}; profile {self.profile} has {profile['base_image']}"
            )
        current = max(shipped.load(), key=lambda one: one.since)
        made_of = self.record["audit"].get("shipped_set")
        if made_of != current.digest:
            known = f"shipped set {made_of[:12]}" if made_of else "no set that was shipped"
            found.append(f"the files that ran were {known}; here they are {current.digest[:12]}")
        if told.get("xformers_commit"):
            found.append(f"it compiled commit {told['xformers_commit'][:12]}; which it is here the clone decides")
        return found


def of_text(text: str, store: Store) -> Like:
    """Return the run that `text` names: a run of the store, a record, or evidence. Raise ProvisionerError (code 2)."""
    path = given(text)
    if path.is_file():
        sent = sent_records.of_file(path, store.state)
        if len(sent.records) != 1:
            raise _bad(f"{text} has {len(sent.records)} runs", "give the file of one")
        record = sent.records[0] | ({} if sent.judged else {"unverified": True})
    else:
        record = store.get(text).record
    if record["scenario"] != "a" or record["profile"] is None:
        raise _bad(f"{text} is no run of ours", "only those of scenario a that name their profile can be repeated")
    inputs.profile(record["profile"])
    return Like(text, record)


def worth(like: Like) -> str:
    """Return what it is worth, in words."""
    return f"{like.record['run_id']} on {like.record['host']}: {shown(like.record)}"


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
