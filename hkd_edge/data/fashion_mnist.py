"""Fashion-MNIST: 60,000 training and 10,000 test images, 28 x 28 grey, 10 classes.

Source: H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747 (MIT licence). Looked for in this order: the folder that
the recipe names; Debian's package, if installed; that package, fetched and unpacked without root; torchvision's
download. The last two use the network, and only if the recipe's `data.download` allows it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hkd_edge.data.dataset import Dataset, ImageSet
from hkd_edge.data.idx import read_idx
from hkd_edge.errors import DataError, MissingDependencyError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PACKAGE = "dataset-fashion-mnist"
PACKAGE_FOLDER = Path("usr/share/datasets/fashion-mnist")
_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
_SIZES = {"train": 60_000, "t10k": 10_000}
_FETCH_TIMEOUT_S = 600


def load(root: Path | None, *, download: bool) -> Dataset:
    """All 70,000 images of Fashion-MNIST.

    Raises:
        DataError: if no source has the files, or if a file is missing, truncated or corrupt.
    """
    folder, source = locate(root, download=download)
    files = {part: _find(folder, part) for part in _PARTS}
    train, test = _read_split(files, "train"), _read_split(files, "t10k")
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(part.images[:].tobytes())
        digest.update(part.labels.tobytes())
    return Dataset("fashion_mnist", CLASSES, train, test, source, digest.hexdigest())


def locate(root: Path | None, *, download: bool) -> tuple[Path, str]:
    """The folder that holds the four files, and where it came from in words; fetches them if allowed to."""
    if root is not None:
        if not root.is_dir():
            raise DataError(f"recipe.data.root: expected a folder with Fashion-MNIST's files, got {root}.")
        return root, f"folder {root.name}"
    installed = Path("/") / PACKAGE_FOLDER
    if _complete(installed):
        return installed, f"Debian package {PACKAGE} (installed)"
    cached = cache_folder()
    if _complete(cached / PACKAGE_FOLDER):
        return cached / PACKAGE_FOLDER, f"Debian package {PACKAGE} (fetched)"
    if _complete(cached / "FashionMNIST" / "raw"):
        return cached / "FashionMNIST" / "raw", "torchvision's download"
    if not download:
        raise DataError(
            f"expected Fashion-MNIST in a folder named by data.root or Debian's package {PACKAGE}, got neither, "
            "and data.download is false. Name the folder, install the package, or set data.download=true."
        )
    return _fetch(cached)


def cache_folder() -> Path:
    """Where fetched files are kept: `hkd-edge/fashion_mnist` in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hkd-edge" / "fashion_mnist"


def _fetch(cache: Path) -> tuple[Path, str]:
    failures = []
    for fetch in (_fetch_by_apt, _fetch_by_torchvision):
        try:
            return fetch(cache)
        except (DataError, MissingDependencyError) as error:
            failures.append(str(error))
    raise DataError(
        "expected to fetch Fashion-MNIST, got: " + "; ".join(failures) + ". "
        "Check the network, or put the four idx files into a folder and name it: --set data.root=FOLDER."
    )


def _fetch_by_apt(cache: Path) -> tuple[Path, str]:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DataError(f"no {tool} on this machine")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        work = Path(temporary)
        if not _apt_download(work, []):
            # The machine's package lists may be missing or old, and only root may renew them: keep our own.
            (work / "lists" / "partial").mkdir(parents=True)
            private = [f"-oDir::State::Lists={work / 'lists'}", f"-oDir::Cache={work}"]
            _command(["apt-get", "-qq", *private, "update"], work)
            if not _apt_download(work, private):
                raise DataError(f"apt-get could not download {PACKAGE}")
        _command(["dpkg-deb", "-x", str(next(work.glob("*.deb"))), str(work / "unpacked")], work)
        target = cache / PACKAGE_FOLDER
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        (work / "unpacked" / PACKAGE_FOLDER).rename(target)
    return target, f"Debian package {PACKAGE} (fetched)"


def _apt_download(work: Path, options: list[str]) -> bool:
    # The sandbox user `_apt` may not write into a private folder; as root it would only print a warning.
    _command(["apt-get", "-qq", "-oAPT::Sandbox::User=", *options, "download", PACKAGE], work)
    return any(work.glob("*.deb"))


def _command(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=_FETCH_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{command[0]} gave no answer within {_FETCH_TIMEOUT_S} s") from error


def _fetch_by_torchvision(cache: Path) -> tuple[Path, str]:
    try:
        from torchvision.datasets import FashionMNIST
    except (ImportError, RuntimeError) as error:
        raise MissingDependencyError(
            f"torchvision cannot be imported ({error}); `pip install torch torchvision` brings builds that fit"
        ) from error
    try:
        FashionMNIST(str(cache), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(f"torchvision's download failed ({error})") from error
    return cache / "FashionMNIST" / "raw", "torchvision's download"


def _complete(folder: Path) -> bool:
    return all((folder / f"{part}-ubyte.gz").is_file() for part in _PARTS)


def _find(folder: Path, part: str) -> Path:
    for suffix in (".gz", ""):
        path = folder / f"{part}-ubyte{suffix}"
        if path.is_file():
            return path
    raise DataError(
        f"{folder}: expected the file {part}-ubyte.gz (or {part}-ubyte), got none. "
        "Copy it there or leave out data.root."
    )


def _read_split(files: dict[str, Path], split: str) -> ImageSet:
    images = read_idx(files[f"{split}-images-idx3"], 3)
    labels = read_idx(files[f"{split}-labels-idx1"], 1)
    count = _SIZES[split]
    if images.shape != (count, 28, 28) or labels.shape != (count,):
        raise DataError(
            f"{files[f'{split}-images-idx3'].parent}: expected {count} images of 28 x 28 with {count} labels, "
            f"got images {images.shape} and labels {labels.shape}. The folder holds another data set."
        )
    if labels.max() >= len(CLASSES):
        raise DataError(
            f"{files[f'{split}-labels-idx1']}: expected labels 0 to 9, got {labels.max()}. Replace the file."
        )
    return ImageSet(images[..., None], labels.astype("int64"))
