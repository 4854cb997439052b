"""The section of a recipe that describes somebody else's network as a teacher, and the rules of teachers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from hkd_edge.recipe.data import ImageSize
from hkd_edge.recipe.section import REQUIRED, Section, key, path_key

DOWNLOAD = "download"  # the value of weights that takes those which torchvision publishes
IMAGENET = "imagenet"  # the value of classes that takes ImageNet's 1000 names, as torchvision has them
OUTPUT = "output"  # the value of embedding that takes what the network answers
ChangePath = Callable[[str], str]

_PerChannel = Annotated[tuple[float, ...], Field(strict=False)]
_PerChannelPositive = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)]
_WAYS = ("architecture", "checkpoint", "foreign")
_FORMS = ("onnx", "module", "torchvision")
# The keys of `foreign` that only some of its forms have.
_ONLY = {
    "arguments": ("module",),
    "weights": ("module", "torchvision"),
    "weights_package": ("module",),
    "scores_output": ("onnx",),
}


class ForeignInput(Section):
    """What a foreign network takes. The recipe's images are resized, cropped and normalised to it, in this order."""

    size: ImageSize = key(
        REQUIRED, "Height and width in pixels that the network is given, one number for a square.", typical="64 to 384"
    )
    mean: _PerChannel = key(
        REQUIRED,
        "Mean of each channel of pixels scaled to 0..1, in the order of channels; one entry stands for all.",
        expected="a list of 1 or 3 numbers such as [0.485, 0.456, 0.406]",
    )
    std: _PerChannelPositive = key(
        REQUIRED,
        "Standard deviation of each channel of pixels scaled to 0..1; one entry stands for all.",
        expected="a list of 1 or 3 numbers > 0 such as [0.229, 0.224, 0.225]",
    )
    channels: Literal["rgb", "bgr", "grey"] = key(
        "rgb", "Channels and their order. Grey images are repeated for rgb, colours weighed (ITU-R 601) for grey."
    )
    layout: Literal["nchw", "nhwc"] = key("nchw", "Order of the axes: channels before height and width, or last.")
    interpolation: Literal["bilinear", "bicubic", "nearest"] = key(
        "bilinear", "How images are resized; bilinear and bicubic do not alias."
    )
    crop_fraction: float = key(
        1.0,
        "Share (0 to 1) of the resized height and width that the network sees, in the middle: images are resized to "
        "size / crop_fraction.",
        typical="0.875 or 1",
        gt=0,
        le=1,
    )


class Foreign(Section):
    """Somebody else's network, never trained here: an ONNX file, a torch module or one of torchvision's.

    Its embedding teaches as it is. Concepts come from its own classes (`mapping`) or from a linear head on its
    embedding, trained with the concept labels of the training images (`head`).
    """

    onnx: str | None = path_key(None, "ONNX file of the network, from the recipe's folder.")
    module: str | None = key(
        None,
        "Code that makes the torch module: a package's module, a colon, and a class or function in it. It is imported "
        "and run, so name only what you trust.",
        expected='a text such as "package.module:factory"',
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*$",
    )
    torchvision: str | None = key(
        None,
        "Name of one of torchvision's classification networks, such as resnet18.",
        expected='a name of letters, digits and "_"',
        pattern="^[a-z0-9_]+$",
    )
    arguments: dict[str, Any] = key({}, "For module: the factory's arguments by name.")
    weights: str | None = path_key(
        None,
        "For module and torchvision: file of the state dict, from the recipe's folder; download = for torchvision, "
        "the weights that it publishes.",
        words=(DOWNLOAD,),
    )
    weights_package: str | None = key(
        None,
        "For module: installed package that holds the file; weights then starts from its folder.",
        expected="the name of a package as Python imports it",
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$",
    )
    input: ForeignInput = key(REQUIRED, "What the network takes.")
    embedding: str | None = key(
        None,
        "Where the embedding is: a tensor's name in the ONNX file, or a layer of the module whose output it is; maps "
        f"of features are averaged. {OUTPUT} = what the network answers, which then has no classes; null = what its "
        "last linear layer takes.",
        min_length=1,
    )
    scores_output: str | None = key(
        None, "For onnx: the output with the classes' scores; null = the first.", min_length=1
    )
    scores: Literal["logits", "probabilities"] = key("logits", "What the classes' scores are.")
    classes: str | None = path_key(
        None,
        "Text file with the names of its classes, a line each, in their order; imagenet = the 1000 names of ImageNet; "
        "null = mapping gives indices.",
        words=(IMAGENET,),
    )
    mapping: str | None = path_key(
        None, "YAML file that gives each concept some of the network's own classes; null = they are not used."
    )
    head: Literal["linear", "none"] | None = key(
        None,
        "linear = a linear head on the embedding for each axis, trained with the training images' labels; none = "
        "embedding or mapping alone; null = linear without a mapping, none with one.",
    )
    head_decay: float = key(
        1e-3, "L2 penalty on the head's weights, of standardised embeddings.", typical="0.0001 to 0.1", gt=0
    )
    batch_size: int = key(64, "Images that the network answers at a time.", typical="16 to 256", ge=1)

    @property
    def linear_head(self) -> bool:
        """Whether a linear head is trained."""
        return self.head == "linear" or (self.head is None and self.mapping is None)

    def paths(self) -> dict[str, str]:
        """The paths in it by their keys, but for files inside installed packages."""
        words = {"onnx": (), "weights": (DOWNLOAD,), "classes": (IMAGENET,), "mapping": ()}
        inside_package = ("weights",) if self.weights_package is not None else ()
        paths = {name: getattr(self, name) for name in words if name not in inside_package}
        return {name: path for name, path in paths.items() if path is not None and path not in words[name]}

    def with_paths(self, change: ChangePath) -> Foreign:
        """The same with every path in it changed."""
        return self.model_copy(update={name: change(path) for name, path in self.paths().items()})


def broken_teacher(teacher: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every broken rule of a teacher's section, with the keys to blame."""
    ways = [way for way in _WAYS if teacher.get(way) is not None]
    if not ways:
        yield ("architecture",), "missing, expected the network to train here, or else checkpoint or foreign beside it."
    for other in ways[1:]:
        yield (other,), f"expected one of {', '.join(_WAYS)}, got {ways[0]} too. Leave one out."
    trained = ways[:1] in ([], ["architecture"])
    if trained and teacher.get("training") is None:
        yield ("training",), "missing, expected the teacher's training, such as {epochs: 10}."
    if not trained and teacher.get("training") is not None:
        yield ("training",), f"expected none for a teacher by {ways[0]}, which is not trained, got one. Leave it out."
    if not trained and teacher.get("members", 1) != 1:
        reason = f"expected 1 for a teacher by {ways[0]}, which is not trained, got {teacher['members']}."
        yield ("members",), f"{reason} Leave it out."
    foreign = teacher.get("foreign")
    if isinstance(foreign, Mapping):
        for name, reason in _broken_foreign(foreign):
            yield ("foreign", *name.split(".")), reason


def _broken_foreign(foreign: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    given = {name for name, value in foreign.items() if value not in (None, {})}
    forms = [form for form in _FORMS if form in given]
    if not forms:
        yield "onnx", f"missing, expected one of {', '.join(_FORMS)}: the file or the code of the network."
    for other in forms[1:]:
        yield other, f"expected one of {', '.join(_FORMS)}, got {forms[0]} too. Leave one out."
    for form in forms[:1]:
        for name, homes in _ONLY.items():
            if name in given and form not in homes:
                yield name, f"expected none for {form}, got one. Leave it out; {' and '.join(homes)} can have it."
        if form != "onnx" and "weights" not in given:
            yield "weights", f"missing, expected the file of the state dict for {form}: random weights teach nothing."
        if form == "module" and foreign.get("weights") == DOWNLOAD:
            yield "weights", f"expected a file for {form}, got {DOWNLOAD}. Name it; torchvision can have it."
    yield from _broken_answers(foreign, given)
    yield from _broken_input(foreign.get("input"))


def _broken_answers(foreign: Mapping[str, Any], given: set[str]) -> Iterator[tuple[str, str]]:
    if "mapping" in given and foreign.get("head") == "linear":
        yield "head", "expected none beside a mapping, got linear. Concepts come from one of them: leave the other out."
    if foreign.get("embedding") == OUTPUT and "mapping" in given:
        yield "mapping", f"expected none for embedding {OUTPUT}: the network then has no classes. Leave one out."
    if "classes" in given and "mapping" not in given:
        yield "classes", "expected none without a mapping, which alone uses the names, got one. Leave it out."


def _broken_input(taken: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(taken, Mapping):
        return
    channels = 1 if taken.get("channels") == "grey" else 3
    for name in ("mean", "std"):
        entries = taken.get(name)
        if isinstance(entries, list | tuple) and len(entries) not in (1, channels):
            yield f"input.{name}", f"expected 1 or {channels} numbers, got {len(entries)}."
