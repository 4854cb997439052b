"""`python -m hkd_edge_runtime info|verify|predict|bench BUNDLE ...`"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hkd_edge_runtime import __version__
from hkd_edge_runtime.bundle import describe
from hkd_edge_runtime.decode import Answer
from hkd_edge_runtime.errors import HkdEdgeError
from hkd_edge_runtime.manifest import Artefact, Manifest, manifest_to_dict
from hkd_edge_runtime.selection import AUTO, is_usable, what_is_missing
from hkd_edge_runtime.session import Model, load
from hkd_edge_runtime.targets import TARGETS
from hkd_edge_runtime.verify import VerifyReport, verify_bundle

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, that of the HkdEdgeError, 130 after Ctrl-C; wrong usage exits with 2."""
    options = command_parser().parse_args(arguments)
    _tell_of_long_work()
    try:
        options.command(options)
    except HkdEdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _tell_of_long_work() -> None:
    """Sends what the package logs, such as the progress of a build that takes minutes, to the error output."""
    logger = logging.getLogger("hkd_edge_runtime")
    logger.handlers = [logging.StreamHandler()]
    logger.setLevel(logging.INFO)


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command line; docs/commands.md is made from it."""
    parser = argparse.ArgumentParser(
        prog="python -m hkd_edge_runtime", description="Classify images with an hkd-edge bundle."
    )
    parser.add_argument("--version", action="version", version=f"hkd-edge-runtime {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("bundle", metavar="BUNDLE", help="a bundle's folder or .hkd file")
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument(
        "--require-signature", metavar="KEY", help="refuse a bundle that is not signed by this public key (PEM file)"
    )
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument("--threads", type=_positive, default=1, help="threads of the runtime (default 1)")

    info = commands.add_parser("info", parents=[common], help="what the bundle says about itself")
    info.set_defaults(command=_info)
    verify = commands.add_parser(
        "verify", parents=[common, running], help="every byte by its checksum, golden images on all artefacts"
    )
    verify.set_defaults(command=_verify)
    predict = commands.add_parser("predict", parents=[common, running], help="classify image files")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="image file")
    predict.add_argument("--target", default=AUTO, help=f"{', '.join(TARGETS)} or auto (default)")
    predict.add_argument("--precision", default=AUTO, help="fp32, fp16, int8 or auto (default)")
    predict.add_argument("--top", type=_positive, default=1, metavar="K", help="show the K best classes")
    predict.set_defaults(command=_predict)
    _add_bench(commands, [common, running])
    return parser


def _add_bench(commands: Any, parents: list[argparse.ArgumentParser]) -> None:
    bench = commands.add_parser("bench", parents=parents, help="speed, memory and accuracy on this machine")
    bench.add_argument("--target", default=AUTO, help=f"{', '.join(TARGETS)} or auto: all that work here (default)")
    bench.add_argument("--precision", default=AUTO, help="fp32, fp16, int8 or auto: all (default)")
    bench.add_argument(
        "--batch", type=_positive, nargs="*", default=[8, 32], metavar="N", help="images at a time (default 8 32)"
    )
    pace = bench.add_mutually_exclusive_group()
    pace.add_argument("--seconds", type=_seconds, default=2.0, help="to time each artefact and batch for (default 2)")
    pace.add_argument("--repeats", type=_positive, help="how often instead to time each artefact and batch")
    bench.add_argument("--no-raw", dest="raw", action="store_false", help="do not time the bare runtime beside predict")
    bench.add_argument("--starts", type=_positive, default=3, help="fresh processes for the cold start (default 3)")
    bench.add_argument(
        "--images", type=Path, metavar="FOLDER", help="labelled images, a subfolder for each class, for the accuracy"
    )
    bench.set_defaults(command=_bench)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number >= 1, got {number}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text}")
    return number


def _info(options: argparse.Namespace) -> None:
    described = describe(options.bundle, options.require_signature)
    manifest = described.manifest
    if options.json:
        usable = {artefact.title: is_usable(artefact) for artefact in manifest.artefacts}
        _print_json(manifest_to_dict(manifest) | {"digest": described.digest, "usable_here": usable})
        return
    height, width, channels = manifest.input.shape
    print(f"{manifest.name} (by {manifest.created_by})")
    print(f"digest     {described.digest} (SHA-256 of the manifest)")
    print(f"input      {height} x {width} x {channels} {manifest.input.color}, uint8")
    print(f"classes    {', '.join(manifest.labels)}")
    for line in _axis_lines(manifest):
        print(f"axis       {line}")
    for artefact in manifest.artefacts:
        print(f"artefact   {_artefact_line(artefact)}")


def _axis_lines(manifest: Manifest) -> list[str]:
    silent = manifest.hierarchy.silent_classes()
    return [
        f"{axis.name}: {', '.join(axis.concepts)}"
        + (f" (silent on {', '.join(silent[axis.name])})" if silent[axis.name] else "")
        for axis in manifest.hierarchy.axes
    ]


def _artefact_line(artefact: Artefact) -> str:
    size_bytes = sum(entry.size_bytes for entry in artefact.files)
    metrics = "".join(f", {name} {value:g}" for name, value in artefact.metrics.items())
    shipped = "shipped" if artefact.shipped else f"not shipped: {artefact.reason or 'no reason given'}"
    here = "runs here" if is_usable(artefact) else f"not here: {what_is_missing([artefact])}"
    return f"{artefact.title}, {size_bytes} bytes{metrics}; {shipped}; {here}"


def _verify(options: argparse.Namespace) -> None:
    report = verify_bundle(options.bundle, threads=options.threads, require_signature=options.require_signature)
    if options.json:
        _print_json(asdict(report) | {"skipped": [{"artefact": name, "reason": why} for name, why in report.skipped]})
        return
    for line in _report_lines(report):
        print(line)


def _report_lines(report: VerifyReport) -> list[str]:
    lines = [f"{report.name}: {report.files} files have their SHA-256; the manifest's is {report.sha256}"]
    if report.signed_by is None:
        lines.append("not signed")
    else:
        how = "as required" if report.signature_checked else "not checked: no key was required"
        lines.append(f"signed by {report.signed_by} ({how})")
    for each in report.checked:
        lines.append(
            f"{each.target} {each.precision}: {each.images} golden images agree, largest difference "
            f"{each.max_difference:.2g} (tolerance {each.tolerance:g})"
        )
    lines.extend(f"{name}: skipped: {why}" for name, why in report.skipped)
    return lines


def _predict(options: argparse.Namespace) -> None:
    with load(
        options.bundle,
        options.target,
        options.precision,
        threads=options.threads,
        require_signature=options.require_signature,
    ) as model:
        if options.json:
            _print_json([_result(model, path, options.top) for path in options.images])
            return
        for path in options.images:
            print(f"{path}: {_answer_line(model.predict(path), options.top)}")


def _result(model: Model, path: str, top: int) -> dict[str, object]:
    answer = model.predict(path)
    head: dict[str, object] = {
        "image": path,
        "target": model.artefact.target,
        "precision": model.artefact.precision,
        "top": [{"label": label, "score": score} for label, score in answer.top(top)],
    }
    return head | answer.to_dict()


def _answer_line(answer: Answer, top: int) -> str:
    classes = ", ".join(f"{label} {score:.3f}" for label, score in answer.top(top))
    concepts = [f"{axis}: {each.concept or 'none'} {each.score:.3f}" for axis, each in answer.concepts.items()]
    return f"{classes} ({'; '.join(concepts)})" if concepts else classes


def _bench(options: argparse.Namespace) -> None:
    from hkd_edge_runtime.bench import Settings, bench
    from hkd_edge_runtime.bench_text import bench_lines
    from hkd_edge_runtime.turns import Pace

    settings = Settings(
        target=options.target,
        precision=options.precision,
        threads=options.threads,
        batches=tuple(options.batch),
        pace=Pace(options.seconds, options.repeats),
        raw=options.raw,
        starts=options.starts,
        images=options.images,
    )
    report = bench(options.bundle, settings, _tell, require_signature=options.require_signature).to_dict()
    if options.json:
        _print_json(report)
        return
    for line in bench_lines(report):
        print(line)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
