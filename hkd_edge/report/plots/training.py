"""How a run came about: the time of its stages, the curves of its trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from hkd_edge.report.material import Training
from hkd_edge.report.svg import SMALL_PX, draw, frame
from hkd_edge.report.theme import SERIES, placeholder
from hkd_edge.report.wording import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_PX = 400
_MARKERS = ("o", "s", "^", "D")
_MARKED_EPOCHS = 20  # more points than that are a line by themselves


def stages_plot(seconds: Mapping[str, float]) -> Markup:
    """A bar for each stage."""

    def paint(figure: Figure) -> str:
        axes = figure.subplots()
        names = list(seconds)
        bars = axes.barh(names, list(seconds.values()), height=0.6, color=placeholder("series-1"))
        axes.bar_label(bars, [duration(each) for each in seconds.values()], padding=5, fontsize=SMALL_PX)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.25 * max(*seconds.values(), 0.1))
        frame(axes, "seconds")
        axes.grid(visible=False, axis="y")
        return "; ".join(f"{name} {duration(each)}" for name, each in seconds.items())

    return draw("stages", "Time of each stage", (_WIDTH_PX, 60 + 27 * len(seconds)), paint)


def curves_plot(name: str, training: Training) -> Markup:
    """Loss and validation accuracies over the epochs of one training, side by side."""
    epochs = range(1, len(training.losses) + 1)

    def paint(figure: Figure) -> str:
        from matplotlib.ticker import MaxNLocator

        left, right = figure.subplots(1, 2)
        few = len(epochs) <= _MARKED_EPOCHS
        left.plot(epochs, training.losses, color=placeholder("ink"), marker="o" if few else "")
        for index, (title, values) in enumerate(training.accuracies.items()):
            marker = _MARKERS[index % len(_MARKERS)] if few else ""
            colour = placeholder(SERIES[index % len(SERIES)])
            right.plot(epochs, values, color=colour, marker=marker, label=title)
        left.set_title("Training loss")
        right.set_title("Validation accuracy, %")
        for axes in (left, right):
            frame(axes, "epoch")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        if len(training.accuracies) > 1:
            right.legend(loc="best")
        return _curves_in_words(training)

    return draw(name, f"Learning curves of the {training.title}", (_WIDTH_PX, 230), paint)


def _curves_in_words(training: Training) -> str:
    accuracies = [
        f"{name} from {values[0]:.2f} to {values[-1]:.2f} %, at best {max(values):.2f} %"
        for name, values in training.accuracies.items()
    ]
    losses = f"loss from {training.losses[0]:.3f} to {training.losses[-1]:.3f}"
    return f"{len(training.losses)} epochs: {losses}; validation accuracy of {'; '.join(accuracies)}"
