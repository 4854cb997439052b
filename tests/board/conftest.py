"""A real OpenSSH server on loopback with keys and a configuration of its own, without root rights where it can be."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hkd_edge.board.ssh import Connection, Destination

# The server drops root's rights into a folder and an account that only an installed package has; in a mount namespace
# of its own it finds them without a change to the machine.
_AS_ROOT = """
set -e
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
mount --bind "$1" /etc/passwd
shift
exec "$@"
"""


@dataclass(frozen=True)
class Server:
    """A running server: how to reach it, and the home directory of those who log in."""

    destination: Destination
    home: Path
    folder: Path

    @property
    def arguments(self) -> list[str]:
        """The options of `hkd-edge bench` that lead here."""
        options = [word for option in self.destination.options for word in ("--ssh-option", option)]
        return ["--host", self.destination.host, "--port", str(self.destination.port), *options]


def find_sshd(cache: Path) -> tuple[str, dict[str, str]]:
    """The program and the environment that it needs: the installed one, or Debian's package unpacked."""
    installed = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if installed:
        return installed, {}
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("no OpenSSH server: sshd is not installed, and there is no apt-get to fetch it with")
    fetched = subprocess.run(
        ["apt-get", "download", "openssh-server", "libwrap0"],
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if fetched.returncode != 0:
        pytest.skip(f"no OpenSSH server: sshd is not installed, and apt-get says: {fetched.stderr.strip()[-200:]}")
    for package in cache.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, cache / "root"], check=True)
    libraries = sorted({str(path.parent) for path in (cache / "root").rglob("*.so.*")})
    return str(cache / "root/usr/sbin/sshd"), {"LD_LIBRARY_PATH": ":".join(libraries)}


def start(folder: Path, sshd: str, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], Server]:
    home = folder / "home of a user"  # with blanks, as the paths of careless scripts have not
    home.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    account = pwd.getpwuid(os.getuid())
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "SetEnv": f'"HOME={home}" "PATH={_programs(folder)}:/usr/bin:/bin"',
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    command = [sshd, "-D", "-e", "-f", str(folder / "config")]
    if os.getuid() == 0:
        command = ["unshare", "--mount", "sh", "-c", _AS_ROOT, "sh", str(_accounts(folder)), *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    options = (
        "StrictHostKeyChecking=accept-new",
        f"UserKnownHostsFile={folder / 'known_hosts'}",
        f"IdentityFile={folder / 'user'}",
        "IdentitiesOnly=yes",
    )
    return process, Server(Destination(f"{account.pw_name}@127.0.0.1", port, options), home, folder)


def _programs(folder: Path) -> Path:
    """A folder with the Python from which the environment of these tests was made, as `python3`."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    return programs


def _accounts(folder: Path) -> Path:
    """The machine's accounts, and the one into which sshd drops root's rights."""
    accounts = Path("/etc/passwd").read_text(encoding="utf-8")
    if "\nsshd:" not in accounts:
        accounts += "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
    (folder / "accounts").write_text(accounts, encoding="utf-8")
    return folder / "accounts"


def wait_for(process: subprocess.Popen[bytes], server: Server) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", server.destination.port)) == 0:
                return
        time.sleep(0.05)
    pytest.skip(f"no OpenSSH server: sshd did not start: {(server.folder / 'log').read_text()[-300:]}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An OpenSSH server of this test session; a visible skip where there can be none."""
    if not shutil.which("ssh"):
        pytest.skip("no ssh client (openssh-client)")
    sshd, environment = find_sshd(tmp_path_factory.mktemp("sshd"))
    process, server = start(tmp_path_factory.mktemp("server"), sshd, environment)
    try:
        wait_for(process, server)
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    with Connection(server.destination) as opened:
        yield opened  # shared by the tests of a module; one that stops it must open its own
