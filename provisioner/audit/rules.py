"""The audit's rules: each check once, with what it applies to and since when it is asked.

CONTRIBUTING.md says how they change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.audit.checks import (
    attention,
    base,
    base_contents,
    base_settings,
    commands,
    compile,
    completeness,
    configuration,
    consistency,
    container,
    cpu_time,
    edges,
    engine_times,
    extension,
    identity,
    image,
    laid_down,
    log_commands,
    pip,
    samples,
    source,
    source_known,
    surroundings,
    times,
    tools,
    wheels,
)
from provisioner.audit.names import DEVCONTAINER

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioner.audit.finding import Findings
    from provisioner.runs.evidence import Evidence

__all__ = ["HISTORY", "NUMBER", "RULES", "Rule"]

HISTORY = {
    1: "the 26 checks that there were when rules got a number; a check tells all that it finds",
    2: "what was told is set against what it cost and where it came from: the base and its tools are vouched for; a "
    "compile's edges, times, samples, CPU time and extension fit each other; the source is what it says; the test was "
    "computed for the run, on a GPU that its container had; the evidence tells one story, and nothing is missing; "
    "records have all checks and no more than is theirs",
}
"""What came with each number."""

NUMBER = max(HISTORY)
"""By these rules is judged now."""

EVERY: frozenset[str] = frozenset()
OF_IMAGES = frozenset({DEVCONTAINER})
OF_LAYERS = frozenset({"base_image_history.jsonl", "image_history.jsonl", "container_image_history.jsonl"})
OF_CLONE = frozenset({"container/source_after_clone.txt", "container/source_after_compile.txt", "built.json"})
OF_EXTENSION = frozenset(
    {"built.json", "container/ninja/outputs", "container/extension_sums.txt", "container/extension_elf.txt"}
)
# What the first files wrote by which a run tells one story.
SUMMED_AGAIN = frozenset({"scripts_after.sha256"})


@dataclass(frozen=True)
class Rule:
    """One check: a function whose docstring's first line is the claim.

    `since` is the number of the rules that first asked it in this form; `runtimes` and `scenarios` are those it applies
    to, all where empty; `evidence` is what it reads that not every shipped set makes, and `reads` what else it needs,
    by the names in shipped.EVIDENCE: a host may fail to tell either.
    """

    check: Callable[[Evidence], Findings]
    runtimes: frozenset[str] = EVERY
    scenarios: frozenset[str] = EVERY
    since: int = 1
    evidence: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()

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
    Rule(consistency.run_went_well),
    Rule(consistency.evidence_is_whole),
    Rule(consistency.log_is_timestamped),
    Rule(laid_down.files_are_as_shipped),
    Rule(laid_down.inputs_are_as_recorded),
    Rule(laid_down.dockerfile_takes_nothing_ready, OF_IMAGES),
    Rule(configuration.configuration_has_no_shortcut, OF_IMAGES),
    Rule(configuration.configuration_in_force_is_the_one_laid_down, OF_IMAGES),
    Rule(configuration.no_builder_image, OF_IMAGES),
    Rule(base.base_is_one_import, OF_IMAGES, since=2, reads=OF_LAYERS),
    Rule(base.base_is_vouched_for, OF_IMAGES, since=2, evidence=frozenset({base.FILES})),
    Rule(base_settings.base_sets_nothing_of_its_own, OF_IMAGES, since=2),
    Rule(base_contents.nothing_was_ready_in_the_base, OF_IMAGES, since=2, evidence=frozenset({base.FILES})),
    Rule(base_settings.settings_are_the_dockerfiles, OF_IMAGES, since=2),
    Rule(image.no_shortcut_image, OF_IMAGES),
    Rule(image.no_cached_layer, OF_IMAGES),
    Rule(image.layers_are_new, OF_IMAGES, reads=OF_LAYERS),
    Rule(image.image_is_of_the_dockerfile, OF_IMAGES, reads=OF_LAYERS),
    Rule(image.nothing_else_was_pulled, OF_IMAGES),
    Rule(image.container_is_of_the_image, OF_IMAGES, reads=OF_LAYERS),
    Rule(configuration.container_is_as_configured, OF_IMAGES),
    Rule(container.build_is_in_log_and_events, OF_IMAGES, since=2, evidence=SUMMED_AGAIN, reads=OF_LAYERS),
    Rule(container.container_is_what_was_asked_for, OF_IMAGES, since=2, evidence=SUMMED_AGAIN),
    Rule(compile.nothing_was_there_before),
    Rule(compile.compiled_once),
    Rule(compile.compiled_as_told),
    Rule(compile.installed_once),
    Rule(compile.no_compiler_cache),
    Rule(compile.compilers_are_genuine),
    Rule(tools.compilers_are_of_packages, OF_IMAGES, since=2),
    Rule(tools.tools_are_of_packages, since=2, evidence=frozenset({tools.TOOLS}), reads=frozenset({base.FILES})),
    Rule(wheels.wheels_are_those_of_the_bundle, since=2, evidence=frozenset({wheels.SUMS})),
    Rule(surroundings.nothing_was_put_before_python, OF_IMAGES, since=2),
    Rule(surroundings.the_compile_saw_the_images_variables, OF_IMAGES, since=2),
    Rule(pip.pip_takes_from_its_index, since=2),
    Rule(compile.compilers_were_at_work),
    Rule(compile.extension_is_of_this_compile),
    Rule(source.source_is_what_was_asked_for, since=2),
    Rule(source.source_is_what_was_cloned, since=2, evidence=OF_CLONE),
    Rule(source.source_was_left_alone, since=2, evidence=OF_CLONE),
    Rule(source_known.source_is_known, since=2),
    Rule(edges.every_edge_was_built_once, since=2),
    Rule(commands.commands_are_of_the_compile, since=2),
    Rule(commands.the_linker_took_the_objects, since=2),
    Rule(commands.nothing_else_was_run, since=2),
    Rule(edges.log_saw_each_edge, since=2),
    Rule(edges.ptxas_told_of_its_work, since=2),
    Rule(edges.edges_fit_each_other, since=2),
    Rule(samples.samples_cover_the_compile, since=2),
    Rule(samples.long_edges_were_sampled, since=2),
    Rule(cpu_time.cpu_seconds_fit, since=2),
    Rule(cpu_time.host_saw_the_work, since=2, evidence=frozenset({"cpu_before.json", "cpu_after.json"})),
    Rule(cpu_time.work_is_above_its_floor, since=2),
    Rule(extension.objects_were_linked, since=2, evidence=OF_EXTENSION),
    Rule(extension.extension_is_for_its_architectures, since=2, evidence=OF_EXTENSION),
    Rule(attention.attention_test_passed),
    Rule(attention.container_had_the_gpu, since=2, evidence=frozenset({"gpus.txt"})),
    Rule(attention.attention_was_computed_for_this_run, since=2, evidence=frozenset({"container/attention.jsonl"})),
    Rule(identity.runtime_is_that_of_the_inputs, since=2),
    Rule(identity.it_is_one_run_on_one_host, since=2, evidence=SUMMED_AGAIN),
    Rule(times.phases_follow_each_other, since=2, evidence=SUMMED_AGAIN),
    Rule(times.log_tells_the_same_times, since=2, evidence=SUMMED_AGAIN),
    Rule(log_commands.log_has_its_scripts_commands_alone, since=2, evidence=SUMMED_AGAIN),
    Rule(engine_times.engine_tells_the_same_times, OF_IMAGES, since=2, evidence=SUMMED_AGAIN),
    Rule(completeness.scripts_stayed_as_they_were, since=2, evidence=SUMMED_AGAIN),
    Rule(completeness.nothing_is_missing, since=2, evidence=SUMMED_AGAIN),
)
"""In the order in which they are told; `record_is_true`, which needs all others, comes after them."""
