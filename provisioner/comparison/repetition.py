"""A run that is to be repeated: what of it can be the same here, and what cannot.

Taken from it is what was measured, as far as it is a setting: profile, branch, threads of nvcc; architectures and jobs
where somebody set them, since what its host chose was chosen for that host. Images, packages and folders of the host
are those of the profile here, and so is whose fork is compiled, and that in a container: they run as root, and are no
stranger's to choose. What the user gives by hand goes over all of it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provisioner.ansible import inputs
from provisioner.audit import shipped
from provisioner.audit.names import DEFAULT_USERNAME, INPUTS
from provisioner.audit.verdict import shown
from provisioner.errors import Exit, ProvisionerError
from provisioner.runs.evidence import Evidence
from provisioner.store import sent_records
from provisioner.system.paths import given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from provisioner.runs.record_data import RecordData
    from provisioner.store import Store

__all__ = ["Like", "of_text"]

SETTINGS = {
    "scenario_xformers_ref": "xformers_ref",
    "scenario_arch_list": "arch_list",
    "scenario_max_jobs": "max_jobs",
    "scenario_nvcc_threads": "nvcc_threads",
}
"""Variables, by the field of a record's inputs that has them; null is the default."""
CONTAINER = "devcontainer"


@dataclass(frozen=True)
class Like:
    """A run that is to be repeated."""

    name: str
    """What the user called it."""
    record: RecordData
    told: Mapping[str, Any]
    """What its host was told, where its evidence says so: '' is what the host chose by itself."""
    by_hand: Mapping[str, Any]
    """The variables that the user gives here."""

    @property
    def profile(self) -> str:
        """Its profile."""
        return str(self.record["profile"])

    @property
    def variables(self) -> dict[str, Any]:
        """What Ansible is told so that the inputs are the same, where the user gives nothing else."""
        found = {name: str(value) for name, value in self._settings().items() if not self._is_the_hosts_own(name)}
        return found | {"scenario_runtime": self.record["runtime"]}

    def lines(self) -> list[str]:
        """Return what is to be repeated, and what cannot be the same here or nobody knows yet, in words."""
        record, told = self.record, self.record["inputs"]
        what = (
            f"profile {self.profile}, runtime {record['runtime']}, fork {told.get('xformers_url')}, "
            f"{told.get('xformers_ref') or 'its default branch'}"
        )
        return [
            f"to be repeated: {record['run_id']} on {record['host']}: {shown(record)}",
            f"to be repeated: {what}",
            *(f"may not be the same: {difference}" for difference in self._differences()),
        ]

    def check(self) -> None:
        """Raise ProvisionerError (code 2) where it asks for what only the user may choose, and they have not."""
        if self.record["runtime"] != CONTAINER and "scenario_runtime" not in self.by_hand:
            raise _bad(
                f"{self.name} was compiled on its host itself, not in a container",
                f"give --runtime {self.record['runtime']} if you want that here, or --runtime {CONTAINER}",
            )
        url, own = str(self.record["inputs"].get("xformers_url")), self._own_url()
        if url != own and not {"scenario_xformers_url", "scenario_username"} & set(self.by_hand):
            raise _bad(
                f"{self.name} compiled {url}, and profile {self.profile} has {own}",
                f"give --xformers-url {shlex.quote(url)} if you trust what is there, or --xformers-url {own}",
            )

    def _differences(self) -> list[str]:
        told, profile = self.record["inputs"], inputs.profile_data(self.profile)
        runtime = self.by_hand.get("scenario_runtime", self.record["runtime"])
        found = []
        if runtime == CONTAINER and told.get("base_image") != profile["base_image"]:
            found.append(
                f"its base image was {told.get('base_image')}; profile {self.profile} has {profile['base_image']}"
            )
        settings: dict[str, Any] = self._settings() | {
            "scenario_runtime": self.record["runtime"],
            "scenario_xformers_url": told.get("xformers_url"),
        }
        for name, value in settings.items():
            what = name.removeprefix("scenario_")
            if name in self.by_hand:
                if str(self.by_hand[name]) != str(value):
                    found.append(f"its {what} was {value}; here it is {self.by_hand[name]}")
            elif self._is_the_hosts_own(name):
                found.append(f"its {what} was {value}; here each host chooses its own, unless you give one")
        current = max(shipped.load(), key=lambda one: one.since)
        made_of = self.record["audit"].get("shipped_set")
        if made_of != current.digest:
            known = f"shipped set {made_of[:12]}" if made_of else "no set that was shipped"
            found.append(f"the files that ran were {known}; here they are {current.digest[:12]}")
        if commit := told.get("xformers_commit"):
            found.append(f"it compiled commit {commit[:12]}; which it is here the clone decides")
        return found

    def _settings(self) -> dict[str, Any]:
        """Return what it was measured with, by the variables, less what was the default."""
        told: Mapping[str, Any] = self.record["inputs"]
        return {name: told[field] for name, field in SETTINGS.items() if told.get(field) is not None}

    def _is_the_hosts_own(self, name: str) -> bool:
        """Return whether a host chose a setting by itself, or nobody can tell."""
        return name in inputs.AUTO and not self.told.get(SETTINGS[name])

    def _own_url(self) -> str:
        """Return what the profile clones from."""
        url = inputs.profile_data(self.profile)["xformers_url"]
        return str(url or f"https://github.com/{DEFAULT_USERNAME}/xformers.git")


def of_text(text: str, store: Store, by_hand: Mapping[str, Any]) -> Like:
    """Return the run that `text` names: a run of the store, a record, or evidence. Raise ProvisionerError (code 2)."""
    path = given(text)
    if path.is_file():
        sent = sent_records.of_file(path, store.state, most=1)
        if len(sent) != 1:
            raise _bad(f"{text} has {len(sent)} runs", "give the file of one")
        record, told = sent[0].record, sent[0].inputs
    else:
        run = store.get(text)
        record, told = run.record, _told(Evidence(run.folder), text)
    if record["scenario"] != "a" or record["profile"] is None:
        remedy = "only those of scenario a that name their profile can be repeated"
        raise _bad(f"{text} is not a run of provisioner", remedy)
    inputs.profile(record["profile"])
    return Like(text, record, told, by_hand)


def _told(evidence: Evidence, text: str) -> dict[str, Any]:
    try:
        return evidence.mapping(INPUTS)
    except ValueError as error:
        raise _bad(f"{text}: {error}", "`provisioner delete` forgets that run") from error


def _bad(message: str, remedy: str) -> ProvisionerError:
    return ProvisionerError(message, remedy, Exit.BAD_INPUT)
