"""From what, where and with what it was made: enough to make it again."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from hkd_edge.report.findings import Findings
from hkd_edge.report.material import Material
from hkd_edge.report.page import Section, folded, preformatted, table
from hkd_edge.report.sections.making import data_sentence


def provenance_section(material: Material, findings: Findings) -> Section:
    """Facts, versions, the recipe and the digests of all files."""
    facts = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in _facts(material) if value
    )
    parts = [Markup('<dl class="facts">{}</dl>').format(facts)]
    if material.recipe:
        parts.append(folded("Recipe", preformatted(material.recipe)))
    rows = [
        [file.path, row.title, f"{file.size_bytes:,}", file.sha256]
        for row in material.validation.rows
        for file in row.files
    ]
    files = table("Files that were validated", ["file", "artefact", "bytes", "SHA-256"], rows)
    return Section("Provenance", Markup("").join([*parts, folded("Files and their SHA-256", files)]))


def _facts(material: Material) -> Iterator[tuple[str, str]]:
    validation, machine = material.validation, material.validation.machine
    yield "images", data_sentence(material) or validation.images
    yield "data fingerprint", material.data.fingerprint if material.data else ""
    yield "test images", f"{validation.images}; SHA-256 {validation.fingerprint}"
    yield "student", "" if validation.parameters is None else f"{validation.parameters:,} parameters"
    yield from machine.facts.items()
    yield "cores", f"{machine.cores}, {machine.threads} of them used in timed calls"
    yield "cpu flags", " ".join(machine.cpu_flags)
    yield "runtimes", ", ".join(f"{name} {version}" for name, version in machine.runtimes.items())
    yield "float precision", ", ".join(f"{name} {hint}" for name, hint in machine.precision_hints.items())
    if material.bundle is not None:
        yield "bundle by", material.bundle.created_by
        yield "versions", ", ".join(f"{name} {version}" for name, version in material.bundle.versions.items())
