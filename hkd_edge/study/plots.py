"""The drawings of a study: paired differences, accuracy by label budget, learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.report.svg import draw, frame
from hkd_edge.report.theme import SERIES, placeholder
from hkd_edge.study.analysis import TOP1, Contrast, Line, Report
from hkd_edge.study.statistics import paired_means
from hkd_edge.study.tables import contrasts_with, shown_interval, shown_spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES = ("-", "--", ":", "-.")
_WIDTH_PX, _PANEL_HEIGHT_PX = 620, 300
_ROW_PX, _FRAME_PX = 24, 62
_LEGEND_COLUMNS = 4


def differences_plot(report: Report, baseline: str) -> Markup:
    """A forest plot: a row for each method and setting against `baseline`, filled where it is significant."""
    contrasts = contrasts_with(report, baseline)

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        frame(axes, f"points more than {baseline}, with 95 % interval")
        axes.axvline(0, color=placeholder("axis"), linewidth=1)
        for row, contrast in enumerate(contrasts):
            _paint_difference(axes, row, contrast, _style(report, contrast.method))
        axes.set_yticks(range(len(contrasts)), [f"{each.method}, {each.setting.title}" for each in contrasts])
        axes.set_ylim(len(contrasts) - 0.5, -0.5)
        return " ".join(
            f"{each.method}, {each.setting.title}: {each.paired.mean:+.2f} {shown_interval(each.paired.interval)}."
            for each in contrasts
        )

    size = (_WIDTH_PX, _FRAME_PX + _ROW_PX * len(contrasts))
    return draw(f"differences-{baseline}", f"Paired differences with {baseline}", size, paint)


def budgets_plot(report: Report, student: str) -> Markup | None:
    """Top-1 on test images by label budget, with 95 % intervals over seeds; None where there is one budget."""
    lines = [
        line for line in report.lines if line.chosen and not line.setting.unmet and line.setting.student == student
    ]
    if len({line.setting.label_fraction for line in lines}) < 2:
        return None

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        frame(axes, "fine labels, % of the training images", "test top-1, %")
        axes.set_xscale("log")
        for method in dict.fromkeys(line.method for line in lines):
            _paint_budgets(axes, [line for line in lines if line.method == method], _style(report, method))
        for wanted in {each.wanted for each in report.efficiencies if each.student == student}:
            axes.axhline(wanted, color=placeholder("axis"), linewidth=1, linestyle=":")
        fractions = sorted({line.setting.label_fraction for line in lines})
        axes.set_xticks([100 * each for each in fractions], [f"{100 * each:g}" for each in fractions])
        axes.minorticks_off()
        _legend(figure, axes)
        return " ".join(
            f"{line.title} at {100 * line.setting.label_fraction:g} %: {shown_spread(line.test.get('top1'))}."
            for line in lines
        )

    return draw(f"budgets-{student}", "Accuracy by label budget", (_WIDTH_PX, _PANEL_HEIGHT_PX), paint)


def curves_plot(report: Report) -> Markup:
    """Mean top-1 on validation images after each epoch, a panel for each setting."""
    settings = [setting for setting in report.settings if not setting.unmet]

    def paint(figure: Figure) -> str:
        panels = figure.subplots(len(settings), 1, sharex=True, squeeze=False)[:, 0]
        for axes, setting in zip(panels, settings, strict=True):
            frame(axes, "epoch" if axes is panels[-1] else "", "validation top-1, %")
            axes.set_title(setting.title)
            for line in report.chosen(setting):
                marker, colour, dash = _style(report, line.method)
                epochs = range(1, len(line.curve) + 1)
                axes.plot(epochs, line.curve, dash, color=colour, marker=marker, markersize=3, label=line.method)
        _legend(figure, panels[0])
        return " ".join(
            f"{line.title}, {setting.title}: {line.curve[0]:.1f} % to {line.curve[-1]:.1f} %."
            for setting in settings
            for line in report.chosen(setting)
        )

    return draw("curves", "Learning curves", (_WIDTH_PX, _PANEL_HEIGHT_PX * len(settings)), paint)


def _paint_difference(axes: Axes, row: int, contrast: Contrast, style: tuple[str, str, str]) -> None:
    marker, colour, _ = style
    mean, interval = contrast.paired.mean, contrast.paired.interval
    axes.errorbar(
        mean,
        row,
        xerr=None if interval is None else [[max(0.0, mean - interval.low)], [max(0.0, interval.high - mean)]],
        fmt=marker,
        color=colour,
        markerfacecolor=colour if contrast.significant else "none",
    )


def _paint_budgets(axes: Axes, lines: list[Line], style: tuple[str, str, str]) -> None:
    marker, colour, dash = style
    lines = sorted(lines, key=lambda line: line.setting.label_fraction)
    means = [line.test["top1"].mean for line in lines]
    axes.errorbar(
        [100 * line.setting.label_fraction for line in lines],
        means,
        yerr=[_half_width(line) for line in lines],
        fmt=marker + dash,
        color=colour,
        elinewidth=0.8,
        label=lines[0].method,
    )


def _half_width(line: Line) -> float:
    """Half the 95 % t-interval of the mean over seeds; 0 for a single seed, which has none."""
    values = list(line.values[TOP1].values())
    own = paired_means([0.0] * len(values), values)
    return 0.0 if own.interval is None else own.interval.high - own.mean


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=min(len(labels), _LEGEND_COLUMNS))


def _style(report: Report, method: str) -> tuple[str, str, str]:
    """A method's marker, colour and line, the same in all drawings."""
    methods = list(dict.fromkeys(line.method for line in report.lines))
    index = methods.index(method.partition("/")[0])
    dash = _DASHES[index // len(SERIES) % len(_DASHES)]
    return _MARKERS[index % len(_MARKERS)], placeholder(SERIES[index % len(SERIES)]), dash
