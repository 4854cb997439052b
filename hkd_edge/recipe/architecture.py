"""The section of a recipe that describes a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hkd_edge.recipe.foreign import DOWNLOAD
from hkd_edge.recipe.rules import broken_architecture
from hkd_edge.recipe.section import Section, key, path_key, refuse

Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
# A recipe writes a list and gets a tuple, which strictness would refuse; the entries stay strict.
Counts = Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
CountsOrZeros = Annotated[tuple[CountOrZero, ...], Field(strict=False, min_length=1)]

_TORCHVISION = "torchvision/"
_DEFAULTS: dict[str, dict[str, int]] = {
    "residual": {"stem_stride": 1},
    "plain": {"stem_stride": 1},
    "mobile": {"stem_stride": 1, "expansion": 4},
}


class Architecture(Section):
    """A convolutional network: a stem, then stages that each halve height and width before their blocks.

    Or one of torchvision's by its name. `kind` says which of the other keys are needed and which must be left out.
    """

    kind: Literal["residual", "plain", "mobile", "torchvision"] = key(
        "residual",
        "What blocks are: two 3x3 convolutions with a shortcut (residual) or without (plain), or depthwise and 1x1 "
        "convolutions (mobile); torchvision = no stages but a network of torchvision's.",
    )
    stem_width: Count | None = key(None, "Channels of the first convolution.", typical="8 to 64")
    stem_stride: Annotated[int, Field(ge=1, le=2)] | None = key(
        None, "Stride of the first convolution in pixels; 2 halves all that follows; null = 1."
    )
    widths: Counts | None = key(None, "Channels of each stage.", typical="8 to 256 each")
    blocks: CountsOrZeros | None = key(
        None, "Blocks of each stage behind the layer that halves, as many as widths.", typical="0 to 3 each"
    )
    expansion: Count | None = key(
        None, "For mobile: how many times wider than its input a block is inside; null = 4.", typical="1 to 6"
    )
    name: str | None = key(
        None,
        "For torchvision: the network's name there, such as resnet18.",
        expected='a name of letters, digits and "_"',
        pattern="^[a-z0-9_]+$",
    )
    weights: str | None = path_key(
        None,
        "For torchvision: file of the state dict to start from, from the recipe's folder; download = the weights that "
        "torchvision publishes; null = random weights.",
        words=(DOWNLOAD,),
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, value: Any) -> Any:
        """The defaults of the keys that not every kind has."""
        if not isinstance(value, Mapping):
            return value
        defaults = _DEFAULTS.get(str(value.get("kind", "residual")), {})
        return {**value, **{name: default for name, default in defaults.items() if value.get(name) is None}}

    @model_validator(mode="after")
    def _check(self) -> Architecture:
        refuse(f"architecture.{key}: {reason}" for key, reason in broken_architecture(self.model_dump()))
        return self

    def paths(self) -> dict[str, str]:
        """The paths in it by their keys."""
        return {} if self.weights in (None, DOWNLOAD) else {"weights": str(self.weights)}

    def with_paths(self, change: Callable[[str], str]) -> Architecture:
        """The same with every path in it changed."""
        return self.model_copy(update={name: change(path) for name, path in self.paths().items()})


def spelt_out(architecture: Any) -> Any:
    """The section that `torchvision/NAME` stands for; all else as it is."""
    if isinstance(architecture, str) and architecture.startswith(_TORCHVISION):
        return {"kind": "torchvision", "name": architecture.removeprefix(_TORCHVISION)}
    return architecture


ArchitectureOrName = Annotated[
    Architecture,
    BeforeValidator(
        spelt_out,
        json_schema_input_type=Architecture
        | Annotated[
            str,
            Field(
                pattern=f"^{_TORCHVISION}[a-z0-9_]+$",
                json_schema_extra={"expected": f'a text such as "{_TORCHVISION}resnet18"'},
            ),
        ],
    ),
]
