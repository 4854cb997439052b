"""What is known of a TensorRT engine: the file's name and checksum, and where and for what it was built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class BatchProfile:
    """The smallest, the usual and the largest batch that an engine takes; it is tuned for the usual one.

    Raises:
        ValueError: unless 1 <= min <= opt <= max.
    """

    min: int = 1
    opt: int = 1
    max: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise ValueError(f"profile: expected 1 <= min <= opt <= max, got {self.min}, {self.opt}, {self.max}.")


@dataclass(frozen=True)
class ParseReport:
    """What TensorRT's parser made of an ONNX file.

    Attributes:
        flavour, version: of TensorRT, `tensorrt` or `tensorrt-rtx`.
        precision: of the file, as whoever gave it says: fp32, fp16, int8.
        layers: of TensorRT's network, before it fuses them.
        warnings: none of them about types, which would be errors.
    """

    onnx_sha256: str
    flavour: str
    version: str
    precision: str
    layers: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class EngineRecord:
    """An engine and what it is good for; `sidecar` holds the same as JSON.

    Attributes:
        plan: the plain engine file, as other tools read it.
        plan_sha256: ties the sidecar to its plan, as two files cannot be replaced at once.
        gpu: the name of the only GPU that the plan is for; None for TensorRT-RTX.
        compute_capabilities: those that the plan is for.
        warnings: of the parser and the builder, none of them about types.
    """

    plan: Path
    plan_sha256: str
    size_bytes: int
    onnx_sha256: str
    flavour: str
    version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    precision: str
    profile: BatchProfile
    warnings: tuple[str, ...]

    @property
    def sidecar(self) -> Path:
        return self.plan.with_name(f"{self.plan.name}.json")

    def to_json(self) -> dict[str, object]:
        """What the sidecar holds; `plan` is a name there, as the two files travel together."""
        return {**asdict(self), "plan": self.plan.name}
