"""Debian packages without root and without touching the system: downloaded by apt with a state of its own, unpacked.

The machine's own package sources are used, so nothing here names a host.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 300
_SOURCES = Path("/etc/apt")
_LAST_LINES = 3


class UnavailableError(Exception):
    """Something that a test needs cannot be had on this machine; says what and why, for the skip."""


@dataclass(frozen=True)
class PrivateApt:
    """apt with its lists, cache and record of installed packages (none) below `folder`.

    Attributes:
        architecture: of the packages, as Debian names it (`arm64`); None for this machine's own.
        release: the release to take packages from (`trixie`) in the place of this machine's; None for its own.
    """

    folder: Path
    architecture: str | None = None
    release: str | None = None

    def update(self) -> None:
        """Fetches the lists of packages.

        Raises:
            UnavailableError: without apt, or if it fails.
        """
        for part in ("lists/partial", "archives/partial", "sources"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        if self.release is not None:
            self._write_sources(self.release)
        self._apt("apt-get", "update")

    def find(self, pattern: str) -> list[str]:
        """The names of the packages that match a regular expression.

        Raises:
            UnavailableError: if there are none.
        """
        names = [line.split()[0] for line in self._apt("apt-cache", "search", "--names-only", pattern).splitlines()]
        if not names:
            raise UnavailableError(f"this machine's package sources have no {self.architecture or ''} {pattern}")
        return names

    def download(self, *packages: str) -> list[Path]:
        """The .deb files of `packages` alone."""
        before = set(self._archives().iterdir())
        self._apt("apt-get", "download", *packages)
        return sorted(path for path in set(self._archives().iterdir()) - before if path.suffix == ".deb")

    def download_with_dependencies(self, *packages: str) -> list[Path]:
        """The .deb files of `packages` and of all that they depend on."""
        self._apt("apt-get", "install", "--download-only", "--yes", "--no-install-recommends", *packages)
        return sorted(self._archives().glob("*.deb"))

    def _archives(self) -> Path:
        return self.folder / "archives"

    def _apt(self, *command: str) -> str:
        # The sandbox user may not write into a private folder; apt would go on as root with a warning.
        options = [
            f"Dir::State={self.folder}",
            f"Dir::State::status={self.folder / 'status'}",
            f"Dir::Cache={self.folder}",
            "APT::Sandbox::User=",
            "Acquire::Languages=none",
        ]
        if self.architecture is not None:
            options += [f"APT::Architecture={self.architecture}", f"APT::Architectures::={self.architecture}"]
        if self.release is not None:
            options += ["Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={self.folder / 'sources'}"]
        program, *arguments = command
        return run([program, *(f"-o{option}" for option in options), *arguments], cwd=self._archives())

    def _write_sources(self, release: str) -> None:
        """The machine's sources with its release's name replaced in them."""
        own = _own_release()
        for source in [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*"))]:
            if source.suffix in (".list", ".sources") and source.is_file():
                # Only `bookworm` and `bookworm-updates`: `sdk-bookworm` is the name of somebody else's.
                text = re.sub(rf"(?<![\w-]){own}\b", release, source.read_text(encoding="utf-8"))
                (self.folder / "sources" / source.name).write_text(text, encoding="utf-8")


def unpack(archives: Sequence[Path], root: Path, *patterns: str) -> None:
    """Unpacks .deb files into `root`; with `patterns` (`./usr/bin/*`) only the members that match one."""
    root.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        if not patterns:
            run(["dpkg-deb", "--extract", str(archive), str(root)])
            continue
        tar = archive.with_suffix(".tar")
        with tar.open("wb") as out:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=out, check=True, timeout=_TIMEOUT_S)
        run(["tar", "-x", "-C", str(root), "-f", str(tar), "--wildcards", *patterns])
        tar.unlink()


def run(command: Sequence[str], cwd: Path | None = None) -> str:
    """What a command prints.

    Raises:
        UnavailableError: if the program is missing, fails, or takes too long.
    """
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"there is no {command[0]} on this machine")
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{command[0]} gave no answer within {_TIMEOUT_S} s") from error
    if done.returncode != 0:
        last = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise UnavailableError(f"{Path(command[0]).name} failed with {done.returncode}: {last}")
    return done.stdout


def user_cache(name: str) -> Path:
    """`hkd-edge/tests/NAME` in the user's cache directory, where fetched things stay between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hkd-edge" / "tests" / name


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """A new folder to fill, which becomes `folder` when the block ends without an error; None if `folder` is there.

    Other processes that want the same wait. Former folders beside it are removed: their names hold other versions.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            yield None
            return
        for former in folder.parent.iterdir():
            if former.is_dir():
                shutil.rmtree(former)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(folder)


def _own_release() -> str:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnavailableError("there is no /etc/os-release, which names the Debian release") from error
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    if fields.get("ID") != "debian" or "VERSION_CODENAME" not in fields:
        raise UnavailableError(f"packages of another Debian release need Debian, this is {fields.get('ID', 'unknown')}")
    return fields["VERSION_CODENAME"].strip('"')
