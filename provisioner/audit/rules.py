"""The audit's rules: each check once, with what it applies to and since when it is asked.

CONTRIBUTING.md says how they change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.audit import attention, compile, configuration, image, laid_down, story, whole
from provisioner.audit.names import DEVCONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioner.audit.finding import Findings
    from provisioner.evidence import Evidence

__all__ = ["HISTORY", "NUMBER", "RULES", "Rule"]

HISTORY = {
    1: "the 26 checks that there were when rules got a number; a check tells all that it finds",
    2: "the attention test was computed for the run, on a GPU that its container had; the run's evidence tells one "
    "story, and nothing of it is missing; records have all checks and no more than is theirs",
}
"""What came with each number."""

NUMBER = max(HISTORY)
"""By these rules is judged now."""

EVERY: frozenset[str] = frozenset()
OF_IMAGES = frozenset({DEVCONTAINER})
# What the first files wrote by which a run tells one story.
SUMMED_AGAIN = frozenset({"scripts_after.sha256"})


@dataclass(frozen=True)
class Rule:
    """One check: a function whose docstring's first line is the claim.

    `since` is the number of the rules that first asked it in this form; `runtimes` and `scenarios` are those it applies
    to, all where empty; `evidence` is what it reads that not every shipped set makes, by the names in shipped.EVIDENCE.
    """

    check: Callable[[Evidence], Findings]
    runtimes: frozenset[str] = EVERY
    scenarios: frozenset[str] = EVERY
    since: int = 1
    evidence: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What the check is called in a record."""
        return self.check.__name__

    def foreign_to(self, evidence: Evidence) -> str:
        """Return what of a run the check does not apply to, in words; empty where it does apply."""
        if self.runtimes and evidence.runtime not in self.runtimes:
            return f"runtime {evidence.runtime}"
        if self.scenarios and evidence.scenario not in self.scenarios:
            return f"scenario {evidence.scenario}"
        return ""


RULES = (
    Rule(whole.run_went_well),
    Rule(whole.evidence_is_whole),
    Rule(whole.log_is_timestamped),
    Rule(laid_down.files_are_as_shipped),
    Rule(laid_down.inputs_are_as_recorded),
    Rule(laid_down.dockerfile_takes_nothing_ready, OF_IMAGES),
    Rule(configuration.configuration_has_no_shortcut, OF_IMAGES),
    Rule(configuration.configuration_in_force_is_the_one_laid_down, OF_IMAGES),
    Rule(configuration.no_builder_image, OF_IMAGES),
    Rule(image.no_shortcut_image, OF_IMAGES),
    Rule(image.no_cached_layer, OF_IMAGES),
    Rule(image.layers_are_new, OF_IMAGES),
    Rule(image.image_is_of_the_dockerfile, OF_IMAGES),
    Rule(image.nothing_else_was_pulled, OF_IMAGES),
    Rule(image.container_is_of_the_image, OF_IMAGES),
    Rule(configuration.container_is_as_configured, OF_IMAGES),
    Rule(compile.nothing_was_there_before),
    Rule(compile.compiled_once),
    Rule(compile.compiled_as_told),
    Rule(compile.installed_once),
    Rule(compile.no_compiler_cache),
    Rule(compile.compilers_are_genuine),
    Rule(compile.compilers_were_at_work),
    Rule(compile.extension_is_of_this_compile),
    Rule(attention.attention_test_passed),
    Rule(attention.container_had_the_gpu, since=2, evidence=frozenset({"gpus.txt"})),
    Rule(attention.attention_was_computed_for_this_run, since=2, evidence=frozenset({"container/attention.jsonl"})),
    Rule(story.runtime_is_that_of_the_inputs, since=2),
    Rule(story.it_is_one_run_on_one_host, since=2, evidence=SUMMED_AGAIN),
    Rule(story.phases_follow_each_other, since=2, evidence=SUMMED_AGAIN),
    Rule(story.log_tells_the_same_times, since=2, evidence=SUMMED_AGAIN),
    Rule(story.engine_tells_the_same_times, OF_IMAGES, since=2, evidence=SUMMED_AGAIN),
    Rule(story.scripts_stayed_as_they_were, since=2, evidence=SUMMED_AGAIN),
    Rule(story.nothing_is_missing, since=2, evidence=SUMMED_AGAIN),
)
"""In the order in which they are told; `record_is_true`, which needs all others, comes after them."""
