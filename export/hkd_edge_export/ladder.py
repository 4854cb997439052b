"""Climbs from the cheapest way to INT8 to the dearest, until a file is good enough on validation images.

This is control flow alone: what the ways are, and on which runtime and images a file is scored, the caller says.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hkd_edge_export.accuracy_control import NothingQuantizedError, float_layers
from hkd_edge_runtime.errors import HkdEdgeError

_ROUNDING = 1e-9  # points; the difference of two percentages may miss a limit by its last bit


@dataclass(frozen=True)
class Score:
    """Top-1 in percent on `images` validation images; `fault` says what else is wrong with the answers, if anything.

    Raises:
        ValueError: for a top-1 that is no percentage, or no images.
    """

    top1: float
    images: int
    fault: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.top1 <= 100:  # NaN compares as false
            raise ValueError(f"top1: expected a percentage, got {self.top1}.")
        if self.images < 1:
            raise ValueError(f"images: expected at least 1, got {self.images}. Nothing was compared.")


@dataclass(frozen=True)
class Candidate:
    """One file that a rung may give: `make` writes it where it is told to, and returns its path."""

    name: str
    make: Callable[[Path], Path]


@dataclass(frozen=True)
class Rung:
    """Candidates that are all tried, because none is dearer than the others; the best of them stands for the rung."""

    name: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Trial:
    """What came of one candidate.

    Attributes:
        top1, drop: in percent and in points below the reference; None if no file was made.
        seconds: that making and scoring it took.
        float_layers: the weighted layers that are not in INT8.
        fault: what is wrong with its answers beside the drop; a file with one is never chosen.
        chosen: whether this is the file that the ladder leaves.
        reason: why it was chosen or not.
    """

    rung: str
    candidate: str
    top1: float | None
    drop: float | None
    seconds: float
    float_layers: tuple[str, ...]
    chosen: bool
    reason: str
    fault: str = ""

    @property
    def loss(self) -> float:
        """The drop by which candidates are ranked: infinite for what can never be chosen."""
        return math.inf if self.drop is None or self.fault else self.drop


@dataclass(frozen=True)
class LadderResult:
    """All trials in their order; `dataclasses.asdict` gives JSON."""

    reference: Score
    max_drop: float
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Trial | None:
        """The trial whose file stays, or None: then the float file is what can be shipped."""
        return next((trial for trial in self.trials if trial.chosen), None)


def climb(
    rungs: Sequence[Rung],
    score: Callable[[Path], Score],
    reference: Score,
    out: Path,
    *,
    max_drop: float,
    enough: float = 0.0,
    gives_up: tuple[type[HkdEdgeError], ...] = (NothingQuantizedError,),
    layers_in_float: Callable[[Path], Sequence[str]] = float_layers,
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> LadderResult:
    """Tries rung after rung, and leaves at `out` the best file of the first rung that is within `max_drop` points
    and has no fault.

    If none is, there is no `out` afterwards, not even an older one; rejected files are gone in any case. Of equal
    candidates the first is taken, and one that loses at most `enough` points (and `max_drop`) ends its rung: those
    after it are not tried. `gives_up` are the errors by which a `make` says that its way came to nothing; all others
    are raised, and leave an older `out` as it was. `on_trial` is told of each candidate of a rung once the rung is
    judged.

    Raises:
        ValueError: for rungs without candidates, names that repeat, a `max_drop` that is no number >= 0, or scores on
            another number of images than the reference's.
    """
    _check(rungs, max_drop)
    ladder = _Ladder(score, reference, max_drop, min(enough, max_drop), gives_up, layers_in_float)
    trials: list[Trial] = []
    # Beside `out`, so that the chosen file can be renamed; whatever scoring leaves behind goes with the folder.
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}.", dir=out.parent) as folder:
        for number, rung in enumerate(rungs):
            judged, best = ladder.try_rung(rung, Path(folder) / str(number), out.name)
            trials += judged
            for trial in judged:
                on_trial(trial)
            if best is not None:
                best.replace(out)
                break
        else:
            out.unlink(missing_ok=True)
    return LadderResult(reference, max_drop, tuple(trials))


@dataclass(frozen=True)
class _Ladder:
    """What stays the same from rung to rung."""

    score: Callable[[Path], Score]
    reference: Score
    max_drop: float
    enough: float
    gives_up: tuple[type[HkdEdgeError], ...]
    layers_in_float: Callable[[Path], Sequence[str]]

    def try_rung(self, rung: Rung, folder: Path, file_name: str) -> tuple[list[Trial], Path | None]:
        """The judged trials of a rung, and the file of the chosen one, if any."""
        trials, paths = [], []
        for number, candidate in enumerate(rung.candidates):
            place = folder / str(number)
            place.mkdir(parents=True)
            trial, path = self._try(rung, candidate, place / file_name)
            trials.append(trial)
            paths.append(path)
            if trial.loss <= self.enough + _ROUNDING:
                break
        losses = [trial.loss for trial in trials]
        best = losses.index(min(losses))
        judged = [self._judged(trial, trials[best], is_best=trial is trials[best]) for trial in trials]
        return judged, paths[best] if judged[best].chosen else None

    def _try(self, rung: Rung, candidate: Candidate, place: Path) -> tuple[Trial, Path | None]:
        started = time.perf_counter()
        try:
            path = candidate.make(place)
        except self.gives_up as error:
            seconds = time.perf_counter() - started
            return Trial(rung.name, candidate.name, None, None, seconds, (), False, str(error)), None
        score = self.score(path)
        if score.images != self.reference.images:
            raise ValueError(
                f"{rung.name}, {candidate.name}: expected a score on the {self.reference.images} images of the "
                f"reference, got one on {score.images}. Only the same images can be compared."
            )
        drop, seconds = self.reference.top1 - score.top1, time.perf_counter() - started
        layers = tuple(self.layers_in_float(path))
        return Trial(rung.name, candidate.name, score.top1, drop, seconds, layers, False, "", score.fault), path

    def _judged(self, trial: Trial, best: Trial, *, is_best: bool) -> Trial:
        if trial.drop is None or best.drop is None:
            return trial
        lost = f"lost {trial.drop:.2f} points" if trial.drop >= 0 else f"won {-trial.drop:.2f} points"
        if trial.drop > self.max_drop + _ROUNDING:
            return replace(trial, reason=f"{lost}, expected to lose at most {self.max_drop:g}")
        if trial.fault:
            return replace(trial, reason=f"{lost}, but {trial.fault}")
        if not is_best:
            return replace(trial, reason=f"{lost}; {best.candidate} is at least as good")
        return replace(trial, chosen=True, reason=f"{lost}, of {self.max_drop:g} allowed")


def _check(rungs: Sequence[Rung], max_drop: float) -> None:
    if not (math.isfinite(max_drop) and max_drop >= 0):
        raise ValueError(f"max_drop: expected a number of points >= 0, got {max_drop}.")
    if len({rung.name for rung in rungs}) < len(rungs):
        raise ValueError(f"rungs: expected different names, got {', '.join(rung.name for rung in rungs)}.")
    for rung in rungs:
        names = [candidate.name for candidate in rung.candidates]
        if not names or len({*names}) < len(names):
            raise ValueError(f"{rung.name}: expected candidates of different names, got {', '.join(names) or 'none'}.")
