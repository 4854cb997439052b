"""A stand-in for a 64-bit ARM board: qemu's user emulation of one processor, an arm64 Python and arm64 wheels.

Times and memory under emulation say nothing about a board and are never asserted.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.debian import PrivateApt, UnavailableError, made_once, run, unpack, user_cache

# As /proc/cpuinfo names them. Without it qemu shows the host's, on which onnxruntime crashes.
CPU_PARTS = {"cortex-a53": "0xd03", "cortex-a72": "0xd08", "cortex-a76": "0xd0b"}
CPU_OF_ARM_LTD = "0x41"
# The version that the wrapper refuses on 64-bit ARM.
BROKEN = "onnxruntime==1.21.0"
PACKAGES = ("numpy>=1.23", "pillow>=10")
# glibc of Debian 12 is 2.36; wheels for older ones run there as well.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)] + ["manylinux2014_aarch64"]
QEMU = ("qemu-aarch64-static", "qemu-aarch64")
TIMEOUT_S = 240
# Raise it when `_fetch` changes, so that what lies in users' caches is fetched anew.
LAYOUT = 1
CRASHES = (signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)


@dataclass(frozen=True)
class Parts:
    """What was fetched once: the emulator, a folder with arm64 Python, and arm64 wheels unpacked.

    Attributes:
        python: path of the interpreter below `root`, `usr/bin/python3.11`.
    """

    qemu: Path
    root: Path
    python: Path
    site: Path

    @property
    def python_version(self) -> str:
        """`3.11`"""
        return self.python.name.removeprefix("python")


@dataclass(frozen=True)
class Board:
    """One board: run Python on it.

    Attributes:
        launcher: the command that is Python there, also as its own `sys.executable`.
        search_path: the folders where Python looks for packages.
    """

    launcher: Path
    search_path: tuple[Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def python(self, *arguments: str | Path, first: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """What came of Python with these arguments; `first` goes before its search path.

        Raises:
            AssertionError: if it was killed by a signal, such as SIGILL.
        """
        done = self.python_unchecked(*arguments, first=first)
        assert not crashed(done.returncode), f"{signal_name(done.returncode)}: {done.stderr}"
        return done

    def python_unchecked(self, *arguments: str | Path, first: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        """As `python`, for what is meant to crash."""
        search_path = ":".join(map(str, (*first, *self.search_path)))
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HKD_EDGE_TEST_PYTHONPATH": search_path}
        return subprocess.run(
            [str(self.launcher), *map(str, arguments)],
            env=environment | self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


def crashed(returncode: int) -> bool:
    """Whether a process, or the shell that waited for it, ended by a crash's signal."""
    return any(returncode in (-number, 128 + number) for number in CRASHES)


def signal_name(returncode: int) -> str:
    """`SIGILL` for -4 and for a shell's 132; `exit code 1` for what is no signal."""
    number = -returncode if returncode < 0 else returncode - 128
    return signal.Signals(number).name if number in list(signal.Signals) else f"exit code {returncode}"


def is_native() -> bool:
    """Whether this machine is itself 64-bit ARM, so that nothing need be emulated."""
    return platform.system() == "Linux" and platform.machine() == "aarch64"


def fetch_parts(onnxruntime: str) -> Parts:
    """The parts with the newest onnxruntime up to version `onnxruntime`, from the user's cache or fetched.

    Raises:
        UnavailableError: if this machine cannot have them.
    """
    if platform.system() != "Linux":
        raise UnavailableError(f"user emulation needs Linux, this is {platform.system()}")
    requirements = (*PACKAGES, f"onnxruntime<={onnxruntime},!=1.21.0")
    digest = hashlib.sha256("\n".join([str(LAYOUT), *requirements]).encode()).hexdigest()
    folder = user_cache("arm64") / digest[:16]
    with made_once(folder) as new:
        if new is not None:
            _fetch(new, requirements)
    return Parts(
        _qemu_on_path() or next(path for name in QEMU if (path := folder / "qemu" / "usr" / "bin" / name).is_file()),
        folder / "root",
        next(folder.glob("root/usr/bin/python3.*")),
        folder / "site",
    )


def fetch_broken(parts: Parts) -> Path:
    """A folder with the refused version of onnxruntime alone, from the user's cache or fetched.

    Raises:
        UnavailableError: if there is no such wheel for the Python of `parts`.
    """
    folder = user_cache("arm64-broken") / f"{BROKEN}-{parts.python_version}"
    with made_once(folder) as new:
        if new is not None:
            _install(new, parts.python_version, "--no-deps", BROKEN)
    return folder


def emulated_board(cpu: str, parts: Parts, folder: Path, wheel_site: Path) -> Board:
    """A board with processor `cpu`; `folder` is filled with what differs between boards."""
    root = folder / "root"
    (root / "proc").mkdir(parents=True)
    for part in parts.root.iterdir():
        (root / part.name).symlink_to(part)
    (root / "proc" / "cpuinfo").write_text(cpuinfo(cpu), encoding="ascii")
    launcher = folder / "python"
    python = root / parts.python.relative_to(parts.root)
    # -0 makes subprocesses by sys.executable come back here; PYTHON* set by export would also hit host programs.
    launcher.write_text(
        f'#!/bin/sh\nexec "{parts.qemu}" -cpu {cpu} -0 "{launcher}" -L "{root}" -E PYTHONHOME="{root}/usr" '
        f'-E PYTHONPATH="$HKD_EDGE_TEST_PYTHONPATH" "{python}" "$@"\n',
        encoding="utf-8",
    )
    launcher.chmod(0o755)
    return Board(launcher, (wheel_site, parts.site))


def native_board(folder: Path, wheel_site: Path) -> Board:
    """This machine, with the numpy and onnxruntime that it has."""
    packages = Path(np.__file__).parents[1]
    launcher = folder / "python"
    launcher.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="$HKD_EDGE_TEST_PYTHONPATH"\nexec "{sys.executable}" "$@"\n', encoding="utf-8"
    )
    launcher.chmod(0o755)
    return Board(launcher, (wheel_site, packages))


def cpuinfo(cpu: str, cores: int = 4) -> str:
    """/proc/cpuinfo of a board with four cores of the processor `cpu`, as Linux writes it on 64-bit ARM."""
    fields = {
        "Features": "fp asimd evtstrm crc32 cpuid" + (" asimdhp asimddp" if cpu == "cortex-a76" else ""),
        "CPU implementer": CPU_OF_ARM_LTD,
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": CPU_PARTS[cpu],
        "CPU revision": "3",
    }
    lines = "".join(f"{name}\t: {value}\n" for name, value in fields.items())
    return "".join(f"processor\t: {core}\n{lines}\n" for core in range(cores))


def _qemu_on_path() -> Path | None:
    return next((Path(path) for name in QEMU if (path := shutil.which(name))), None)


def _fetch(folder: Path, requirements: Sequence[str]) -> None:
    if _qemu_on_path() is None:
        apt = PrivateApt(folder / "apt-host")
        apt.update()
        # Newer releases have it in a package that this one depends on.
        archives = apt.download_with_dependencies("qemu-user-static")
        emulators = [archive for archive in archives if archive.name.startswith("qemu")]
        unpack(emulators, folder / "qemu", *(f"./usr/bin/{name}*" for name in QEMU))
    version = _fetch_python(folder)
    _install(folder / "site", version, *requirements)
    for leftover in folder.glob("apt-*"):
        shutil.rmtree(leftover)


def _fetch_python(folder: Path) -> str:
    """Unpacks the arm64 Python of the machine's package sources; returns its version (`3.11`)."""
    apt = PrivateApt(folder / "apt-arm64", architecture="arm64")
    apt.update()
    library = apt.find(r"^libpython3\.[0-9]+-stdlib$")[0]
    version = re.sub(r"^libpython|-stdlib$", "", library)
    root = folder / "root"
    unpack(apt.download_with_dependencies(f"python{version}-minimal", library, "libstdc++6"), root)
    # From Debian 13 on /lib is a link to usr/lib, which an installation makes and no package holds.
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    return version


def _install(site: Path, version: str, *requirements: str) -> None:
    abi = f"cp{version.replace('.', '')}"
    target = ["--python-version", version, "--implementation", "cp", "--abi", abi, "--abi", "abi3", "--abi", "none"]
    platforms = [argument for each in PLATFORMS for argument in ("--platform", each)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    run([*pip, *target, *platforms, "--target", str(site), *requirements])
