"""Which artefact of a bundle to open."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hkd_edge_runtime.backends import ALIASES, BACKENDS, backend_class, canonical_name
from hkd_edge_runtime.errors import BundleError, MissingBackendError, did_you_mean

if TYPE_CHECKING:
    from hkd_edge_runtime.manifest import Artefact, Manifest

AUTO = "auto"
LATENCY = "p50_ms"


def select_artefact(manifest: Manifest, target: str = AUTO, precision: str = AUTO) -> Artefact:
    """The artefact to open for a target and a precision: the first of `candidates`.

    Raises:
        BundleError, MissingBackendError: as `candidates`.
    """
    return candidates(manifest, target, precision)[0]


def candidates(manifest: Manifest, target: str = AUTO, precision: str = AUTO) -> list[Artefact]:
    """The artefacts to choose from for a target and a precision, each by name or `auto`; at least one.

    With both by name it is that one, shipped or not. Otherwise they are the shipped ones that fit, whose backend
    is installed, by their `p50_ms`; those without it come last, equals in the order of the manifest.
    With the target by name they are, if that ships none, those for which the board builds an engine: nobody could
    validate them, so `auto` passes them over, but who names the target has asked for them, and the golden images
    decide.

    Raises:
        BundleError: if the bundle has none that fits, or none that is shipped.
        MissingBackendError: if it has, but what they need is not installed here.
    """
    fitting = _fitting(manifest, target, precision)
    if AUTO not in (target, precision):
        return fitting[:1]
    shipped = [artefact for artefact in fitting if artefact.shipped]
    if target != AUTO and not shipped:
        shipped = [artefact for artefact in fitting if artefact.profile is not None]
    if not shipped:
        reasons = "; ".join(f"{each.title} ({each.reason or 'no reason given'})" for each in fitting)
        raise BundleError(
            f"{manifest.name}: expected a shipped artefact, got only {reasons}. "
            "Name target and precision to open one all the same."
        )
    usable = [artefact for artefact in shipped if is_usable(artefact)]
    if not usable:
        raise MissingBackendError(f"{manifest.name}: {what_is_missing(shipped)}")
    return sorted(usable, key=lambda artefact: artefact.metrics.get(LATENCY, math.inf))


def contenders(manifest: Manifest, target: str = AUTO, precision: str = AUTO) -> list[Artefact]:
    """What calibration measures: the `candidates`, then those for which the board builds an engine, if it can.

    Where the bundle was made these could not be run; being measured here, with the right golden answers, is what they
    lacked for `auto`.

    Raises:
        BundleError, MissingBackendError: if there is none, as `candidates`.
    """
    fitting = _fitting(manifest, target, precision)
    built_here = [artefact for artefact in fitting if artefact.profile is not None and is_usable(artefact)]
    try:
        found = candidates(manifest, target, precision)
    except (BundleError, MissingBackendError):
        if not built_here:
            raise
        return built_here
    return found + [artefact for artefact in built_here if artefact not in found]


def is_usable(artefact: Artefact) -> bool:
    """Whether this machine has the runtime that opens the artefact."""
    return artefact.target in BACKENDS and backend_class(artefact.target).is_installed()


def what_is_missing(artefacts: list[Artefact]) -> str:
    """One sentence on the runtimes that would open one of `artefacts`, with the pip commands."""
    targets = list(dict.fromkeys(artefact.target for artefact in artefacts))
    known = [target for target in targets if target in BACKENDS]
    if not known:
        return f"expected a target out of {', '.join(BACKENDS)}, got {', '.join(targets)}. Upgrade hkd-edge-runtime."
    reasons = [backend_class(target).missing_reason() for target in known]
    if len(reasons) == 1 and reasons[0] is not None:
        return reasons[0]
    commands = " or ".join(f'pip install "{backend_class(target).requirement}"' for target in known)
    return f"expected a runtime for {' or '.join(known)} to be installed, found none. Run: {commands}"


def _fitting(manifest: Manifest, target: str, precision: str) -> list[Artefact]:
    wanted = canonical_name(target)
    targets = list(dict.fromkeys(artefact.target for artefact in manifest.artefacts))
    if wanted not in (AUTO, *targets):
        nearest = did_you_mean(target, [*targets, *ALIASES, AUTO]) if wanted not in BACKENDS else ""
        raise BundleError(f"target: expected {AUTO} or one of {', '.join(targets)}, got {target!r}.{nearest}")
    of_target = [each for each in manifest.artefacts if wanted in (AUTO, each.target)]
    fitting = [each for each in of_target if precision in (AUTO, each.precision)]
    if not fitting:
        precisions = list(dict.fromkeys(each.precision for each in of_target))
        nearest = did_you_mean(precision, [*precisions, AUTO])
        raise BundleError(f"precision: expected {AUTO} or one of {', '.join(precisions)}, got {precision!r}.{nearest}")
    return fitting
