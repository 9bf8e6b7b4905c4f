"""The audit: a run's evidence in, a verdict out, offline and repeatable.

Each check is one function that takes the evidence and yields what it found, of which the first holds; its docstring's
first line is the claim.
They are grouped by what they look at. What each proves, and what it cannot, is in docs/audit.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provisioner.audit import attention, compile, configuration, image, laid_down, whole
from provisioner.audit.finding import SKIP, Finding, Findings, failed
from provisioner.audit.names import DEVCONTAINER
from provisioner.audit.verdict import NOT_APPLICABLE, reasons, verdict
from provisioner.record import Audit, Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioner.evidence import Evidence

__all__ = ["CHECKS", "judge", "reasons"]

CHECKS: dict[str, Callable[[Evidence], Findings]] = {
    check.__name__: check
    for check in (
        whole.run_went_well,
        whole.evidence_is_whole,
        whole.log_is_timestamped,
        laid_down.files_are_as_shipped,
        laid_down.inputs_are_as_recorded,
        laid_down.dockerfile_takes_nothing_ready,
        configuration.configuration_has_no_shortcut,
        configuration.configuration_in_force_is_the_one_laid_down,
        configuration.no_builder_image,
        image.no_shortcut_image,
        image.no_cached_layer,
        image.layers_are_new,
        image.image_is_of_the_dockerfile,
        image.nothing_else_was_pulled,
        image.container_is_of_the_image,
        configuration.container_is_as_configured,
        compile.nothing_was_there_before,
        compile.compiled_once,
        compile.compiled_as_told,
        compile.installed_once,
        compile.no_compiler_cache,
        compile.compilers_are_genuine,
        compile.compilers_were_at_work,
        compile.extension_is_of_this_compile,
        attention.attention_test_passed,
    )
}

# These are about an image or a container, which only the runtime devcontainer has.
OF_THE_IMAGE = {
    name
    for name, check in CHECKS.items()
    if check.__module__ in {image.__name__, configuration.__name__} or check is laid_down.dockerfile_takes_nothing_ready
}


def judge(evidence: Evidence) -> Audit:
    """Return the verdict on a run and every check; last of them whether the record beside the evidence is true.

    A check that does not apply to the run's runtime is a skip that counts for nothing.
    Raises ValueError where the folder holds no run.
    """
    runtime = evidence.runtime
    checks = []
    for name, check in CHECKS.items():
        if name in OF_THE_IMAGE and runtime != DEVCONTAINER:
            checks.append(_named(name, Finding(SKIP, f"{NOT_APPLICABLE} to runtime {runtime}", "run.json")))
        else:
            checks.append(_named(name, _first(check, evidence)))
    checks.append(_named("record_is_true", _first(whole.record_is_true, evidence, tuple(checks))))
    return Audit(verdict=verdict(checks), checks=checks)


def _named(name: str, finding: Finding) -> Check:
    return Check(name=name, outcome=finding.outcome, detail=finding.detail, evidence=finding.evidence)


def _first(check: Callable[..., Findings], *about: Any) -> Finding:
    """Make a check; evidence of another shape than a run writes is no reason to stop."""
    try:
        return next(check(*about))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OSError) as error:
        return failed(f"the evidence is not of the shape that a run writes: {type(error).__name__} {error}", "run.json")
