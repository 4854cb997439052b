"""Writes what a study tells: study.json, study.md and study.html."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from hkd_edge.report.page import Section, figure, folded, paragraph, render_page, table
from hkd_edge.study import words
from hkd_edge.study.analysis import Report
from hkd_edge.study.plots import budgets_plot, curves_plot, differences_plot
from hkd_edge.study.tables import (
    Table,
    contrasts_table,
    contrasts_with,
    corruptions_table,
    efficiency_table,
    markdown,
    methods_table,
    robustness_table,
    search_table,
    trials_table,
    unmet_table,
    variants_table,
)
from hkd_edge_runtime.files import write_bytes_atomically, write_json_atomically


def write_study(folder: Path, report: Report) -> list[Path]:
    """The three files, written into the study's folder."""
    files = [folder / name for name in ("study.json", "study.md", "study.html")]
    write_json_atomically(files[0], report.to_json())
    write_bytes_atomically(files[1], ("\n".join(study_lines(report)).rstrip() + "\n").encode())
    write_bytes_atomically(files[2], study_page(report).encode())
    return files


def study_lines(report: Report) -> Iterator[str]:
    """The study in Markdown."""
    yield f"# Study {report.name}"
    yield ""
    for sentence in (*words.chosen(report), *map(words.found, report.contrasts)):
        yield f"- {sentence}"
    yield ""
    for each in _tables(report):
        yield from markdown(each)
    for note in words.notes(report):
        yield note
        yield ""
    yield from (f"Machine: {machine}." for machine in words.machines(report))


def study_page(report: Report) -> str:
    """The study as one self-contained page; with the same report it has the same bytes."""
    subtitle = f"{len(report.cells)} cells, {len(report.seeds)} seeds, {report.test_images:,} test images"
    return render_page(
        f"Study {report.name}",
        subtitle,
        [
            Section("What can be told", _told(report)),
            Section("Methods", _methods(report)),
            *_robustness_section(report),
            *_search_section(report),
            Section("Learning curves", figure(curves_plot(report), "Validation top-1 by epoch, mean over seeds")),
            Section("How it was done", _joined(*map(paragraph, (*words.notes(report), *words.machines(report))))),
        ],
    )


def _told(report: Report) -> Markup:
    parts = [paragraph(sentence) for sentence in words.chosen(report)]
    for baseline in _baselines(report):
        caption = f"Difference with {baseline} on test images, seed by seed; filled where it is significant after Holm"
        parts.append(figure(differences_plot(report, baseline), caption))
        parts.append(_shown(contrasts_table(report, baseline)))
    sentences = [paragraph(words.found(each)) for each in report.contrasts]
    return _joined(*parts, *([folded("In words", _joined(*sentences))] if sentences else []))


def _methods(report: Report) -> Markup:
    students = dict.fromkeys(setting.student for setting in report.settings)
    plots = [(student, budgets_plot(report, student)) for student in students]
    variants, efficiency = variants_table(report), efficiency_table(report)
    return _joined(
        *(figure(plot, f"Test top-1 by label budget, student {name}, 95 % over seeds") for name, plot in plots if plot),
        *([_shown(efficiency)] if efficiency else []),
        *(_shown(each) for each in _method_tables(report)),
        *([folded("Variants", _shown(variants))] if variants else []),
    )


def _robustness_section(report: Report) -> Iterator[Section]:
    shown = [_shown(each) for each in _robustness_tables(report)]
    if shown:
        yield Section("Robustness", _joined(*shown))


def _search_section(report: Report) -> Iterator[Section]:
    searches, trials = search_table(report), trials_table(report)
    if searches and trials:
        yield Section("Searches", _joined(_shown(searches), folded("All trials", _shown(trials))))


def _method_tables(report: Report) -> Iterator[Table]:
    for setting in report.settings:
        tables = (methods_table(report, setting), unmet_table(report, setting))
        yield from (each for each in tables if each)


def _robustness_tables(report: Report) -> Iterator[Table]:
    tables = [corruptions_table(report, setting) for setting in report.settings]
    tables += [robustness_table(report, baseline) for baseline in _baselines(report)]
    yield from (each for each in tables if each)


def _tables(report: Report) -> Iterator[Table]:
    yield from _method_tables(report)
    yield from (contrasts_table(report, baseline) for baseline in _baselines(report))
    yield from _robustness_tables(report)
    yield from (each for each in (efficiency_table(report), variants_table(report), search_table(report)) if each)


def _baselines(report: Report) -> list[str]:
    named = dict.fromkeys(each.baseline.partition("/")[0] for each in report.contrasts)
    return [name for name in named if contrasts_with(report, name)]


def _shown(content: Table) -> Markup:
    return table(content.caption, content.headers, content.rows)


def _joined(*parts: Markup) -> Markup:
    return Markup("\n").join(parts)
