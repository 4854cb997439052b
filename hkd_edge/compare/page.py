"""A comparison as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from hkd_edge.compare import tables
from hkd_edge.compare.comparison import Comparison, Paired
from hkd_edge.compare.plots import differences_plot, latency_plot
from hkd_edge.compare.runs import STUDENT
from hkd_edge.compare.words import found, notes
from hkd_edge.report.page import Section, badge, figure, folded, paragraph, render_page, table


def comparison_page(comparison: Comparison) -> str:
    """The whole file; with the same comparison it has the same bytes."""
    titles = [run.title for run in comparison.runs]
    subtitle = f"{comparison.images:,} test images ({comparison.test_images}), baseline {comparison.baseline}"
    return render_page(
        f"{', '.join(titles[:-1])} and {titles[-1]} compared",
        subtitle,
        [
            Section("What can be told", _told(comparison)),
            Section("Runs", _table(tables.runs_table(comparison))),
            Section("Artefacts", _artefacts(comparison)),
            Section("What differs", _differing(comparison)),
            Section("How it was compared", _joined(*map(paragraph, notes(comparison)))),
        ],
    )


def _told(comparison: Comparison) -> Markup:
    """The students in words first; their artefacts, which mostly answer alike, on demand."""
    students = [each for each in comparison.paired if each.subject == STUDENT]
    artefacts = [each for each in comparison.paired if each.subject != STUDENT]
    caption = "Difference in top-1 on the same test images; filled where it is significant after Holm's correction"
    return _joined(
        *(_sentence(comparison, paired) for paired in students),
        figure(differences_plot(comparison), caption),
        _table(tables.paired_table(comparison)),
        *_folded("Artefacts in words", [_sentence(comparison, paired) for paired in artefacts]),
        *_folded(
            "By class", [_table(tables.class_table(comparison, each)) for each in comparison.paired if each.classes]
        ),
    )


def _sentence(comparison: Comparison, paired: Paired) -> Markup:
    return paragraph(_badge(paired), " ", found(comparison, paired))


def _folded(title: str, parts: Sequence[Markup]) -> list[Markup]:
    return [folded(title, _joined(*parts))] if parts else []


def _badge(paired: Paired) -> Markup:
    if not paired.significant:
        return badge("cannot be told", "quiet")
    return badge("better", "good") if paired.difference.points > 0 else badge("worse", "bad")


def _artefacts(comparison: Comparison) -> Markup:
    plot = latency_plot(comparison)
    caption = "Top-1 with Wilson's 95 % interval by the median time of one image, for each artefact"
    shown = figure(plot, caption) if plot else paragraph("No artefact was timed.")
    return _joined(shown, _table(tables.artefacts_table(comparison)))


def _differing(comparison: Comparison) -> Markup:
    parts = (("recipes", comparison.recipe), ("machines", comparison.machine))
    return _joined(
        *(
            _table(tables.differing_table(f"Keys that differ between the {name}", keys, comparison.runs))
            if keys
            else paragraph(f"Between the {name} nothing differs.")
            for name, keys in parts
        )
    )


def _table(content: tables.Table) -> Markup:
    return table(content.caption, content.headers, content.rows)


def _joined(*parts: Markup) -> Markup:
    return Markup("\n").join(parts)
