"""The report as JUnit XML, for CI: a test suite for each run, a test case for each check of its audit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from provisioner.audit.verdict import UNVERIFIED
from provisioner.text import bounds

if TYPE_CHECKING:
    from typing import TextIO

    from provisioner.report.model import Report, Sample
    from provisioner.runs.record_data import CheckData

__all__ = ["write"]

NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
"""Characters that no XML document may hold, escaped or not."""


def write(report: Report, stream: TextIO) -> None:
    """Write the XML; a run that did not come to its end is a failed test case of its own, named `outcome`."""
    suites = [_suite(sample) for sample in report.samples]
    root = ET.Element("testsuites", {"name": "Scenario A", **_sum(suites)})
    root.extend(suites)
    ET.indent(root)
    stream.write(ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _suite(sample: Sample) -> ET.Element:
    cases = [_outcome(sample), *(_case(sample, check) for check in sample.checks)]
    suite = ET.Element(
        "testsuite",
        {
            "name": _text(f"{sample.host} {sample.run_id}"),
            "hostname": _text(sample.host),
            "timestamp": sample.started.strftime("%Y-%m-%dT%H:%M:%S"),
            "tests": str(len(cases)),
            "failures": str(sum(case.find("failure") is not None for case in cases)),
            "errors": "0",
            "skipped": str(sum(case.find("skipped") is not None for case in cases)),
            "time": f"{sample.total or 0:.3f}",
        },
    )
    suite.extend(cases)
    return suite


def _outcome(sample: Sample) -> ET.Element:
    case = _named(sample, "outcome", sample.total or 0)
    if sample.outcome != "ok":
        message = f"the run {sample.outcome} in {sample.failed_in or 'no phase'}: {sample.why}"
        failure = ET.SubElement(case, "failure", {"message": _text(message), "type": "outcome"})
        failure.text = _text("\n".join(sample.last_lines))
    elif sample.verdict == UNVERIFIED:
        ET.SubElement(case, "skipped", {"message": "it came without evidence: unverified"})
    return case


def _case(sample: Sample, check: CheckData) -> ET.Element:
    case = _named(sample, check["name"], 0)
    found = ({"detail": "", "evidence": check["evidence"]}, *(check.get("others") or ()))
    where = "\n".join(f"{place['detail']} evidence: {place['evidence']}".strip() for place in found)
    if check["outcome"] == "fail":
        attributes = {"message": _text(check["detail"]), "type": "audit"}
        ET.SubElement(case, "failure", attributes).text = _text(where)
    elif check["outcome"] == "skip":
        ET.SubElement(case, "skipped", {"message": _text(check["detail"])})
    return case


def _named(sample: Sample, name: str, seconds: float) -> ET.Element:
    return ET.Element(
        "testcase", {"name": _text(name), "classname": _text(f"scenario_a.{sample.host}"), "time": f"{seconds:.3f}"}
    )


def _sum(suites: list[ET.Element]) -> dict[str, str]:
    counts = {key: str(sum(int(suite.attrib[key]) for suite in suites)) for key in ("tests", "failures", "errors")}
    return {**counts, "time": f"{sum(float(suite.attrib['time']) for suite in suites):.3f}"}


def _text(text: str) -> str:
    """Return a text for XML: a terminal's colours and what else is not XML become the replacement character."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text[: bounds.LINE])
