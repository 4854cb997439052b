"""The verdict as JUnit's XML, which continuous integration shows, and as annotations of GitHub's kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from hkd_edge.evaluate.result import Gate, Validation
from hkd_edge_runtime.files import write_atomically

_UNPRINTABLE = {code: None for code in range(32) if chr(code) not in "\t\n\r"}  # XML 1.0 has no place for them


def write_junit(path: Path, validation: Validation) -> None:
    """Writes one test case for each gate; a held back or unmeasured one counts as skipped."""
    failures = len(validation.failed_gates)
    skipped = sum(gate.status in ("held_back", "skipped") for gate in validation.gates)
    counts = {"tests": str(len(validation.gates)), "failures": str(failures), "skipped": str(skipped), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": _clean(f"hkd-edge validate {validation.name}"), **counts}
    )
    for gate in validation.gates:
        _add_case(suite, gate)
    ElementTree.indent(suites)
    with write_atomically(path) as temporary:
        ElementTree.ElementTree(suites).write(temporary, encoding="utf-8", xml_declaration=True)


def github_annotations(validation: Validation) -> Iterator[str]:
    """A workflow command for each gate that did not pass, if this runs where GitHub's are understood.

    Syntax: GitHub Actions, "Workflow commands".
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    levels = {"failed": "error", "held_back": "warning", "skipped": "notice"}
    for gate in validation.gates:
        if gate.status in levels:
            title = _escape(f"{gate.subject}: {gate.name}").replace(":", "%3A").replace(",", "%2C")
            yield f"::{levels[gate.status]} title={title}::{_escape(_told(gate))}"


def _add_case(suite: ElementTree.Element, gate: Gate) -> None:
    case = ElementTree.SubElement(suite, "testcase", {"classname": _clean(gate.subject), "name": _clean(gate.name)})
    if gate.status == "failed":
        ElementTree.SubElement(case, "failure", {"message": _clean(_told(gate))})
    elif gate.status != "passed":
        kind = "held back: " if gate.status == "held_back" else ""
        ElementTree.SubElement(case, "skipped", {"message": _clean(kind + _told(gate))})
    else:
        ElementTree.SubElement(case, "system-out").text = _clean(_told(gate))


def _told(gate: Gate) -> str:
    by = f" ({gate.images})" if gate.images else ""
    return f"expected {gate.expected}, got {gate.measured}{by}"


def _clean(text: str) -> str:
    return text.translate(_UNPRINTABLE)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
