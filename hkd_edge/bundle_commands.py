"""`hkd-edge bundle make|keygen|sign|verify|pack|unpack`. Heavy packages are imported inside the commands."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hkd_edge.command_help import examples
from hkd_edge.completion import complete_bundle

_PATH = click.Path(path_type=Path)


class MakeByDefault(click.Group):
    """A group in which what is no command of it is given to its command `make`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.commands, key=lambda name: name != "make")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["make", *args])


@click.group(
    cls=MakeByDefault,
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        "hkd-edge bundle runs/digits                      # the same as: hkd-edge bundle make runs/digits",
        "hkd-edge bundle keygen release.pem               # writes release.pem and release.pub.pem",
        "hkd-edge bundle sign runs/digits/bundle --key release.pem",
        "hkd-edge bundle verify runs/digits/bundle --key release.pub.pem",
        "hkd-edge bundle pack runs/digits/bundle -o digits.hkd",
    ),
)
def bundle() -> None:
    """Put what was found good into a bundle for the board; sign, verify or pack one."""


@bundle.command(epilog=examples("hkd-edge bundle keygen release.pem"))
@click.argument("key", type=_PATH)
def keygen(key: Path) -> None:
    """Write a new private key to the file KEY, and its public key beside it."""
    from hkd_edge_export.signing import write_keys

    public = write_keys(key)
    click.echo(f"private key {key} (keep it secret), public key {public} (for the boards)")


@bundle.command(
    epilog=examples(
        "hkd-edge bundle sign runs/digits/bundle --key release.pem",
        "hkd-edge bundle sign digits.hkd --key release.pem --overwrite",
    )
)
@click.argument("path", metavar="BUNDLE", type=_PATH, shell_complete=complete_bundle)
@click.option("--key", required=True, type=_PATH, help="Private key, as keygen wrote it.")
@click.option("--overwrite", is_flag=True, help="Replace a signature that is there.")
def sign(path: Path, key: Path, overwrite: bool) -> None:
    """Sign BUNDLE, a folder or .hkd file, with a private key."""
    from hkd_edge_export.signing import sign_bundle

    signature = sign_bundle(path, key, overwrite=overwrite)
    click.echo(f"{path}: signed by {signature.public_key}")


@bundle.command(
    epilog=examples(
        "hkd-edge bundle verify runs/digits/bundle", "hkd-edge bundle verify digits.hkd --key release.pub.pem --json"
    )
)
@click.argument("path", metavar="BUNDLE", type=_PATH, shell_complete=complete_bundle)
@click.option("--key", type=_PATH, help="Public key by which it must be signed.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def verify(path: Path, key: Path | None, as_json: bool) -> None:
    """Check every byte of BUNDLE and its golden images, by the board's own wrapper."""
    from hkd_edge_runtime.__main__ import main as runtime_main

    required = [] if key is None else ["--require-signature", str(key)]
    sys.exit(runtime_main(["verify", str(path), *required, *(["--json"] if as_json else [])]))


@bundle.command(epilog=examples("hkd-edge bundle pack runs/digits/bundle -o digits.hkd"))
@click.argument("folder", type=_PATH, shell_complete=complete_bundle)
@click.option("-o", "--output", type=_PATH, help="File to write. [default: FOLDER.hkd]")
def pack(folder: Path, output: Path | None) -> None:
    """Pack the bundle FOLDER, with its signature, into one file."""
    from hkd_edge_export.packing import pack_bundle

    click.echo(pack_bundle(folder, output))


@bundle.command(epilog=examples("hkd-edge bundle unpack digits.hkd -o digits"))
@click.argument("file", type=_PATH, shell_complete=complete_bundle)
@click.option("-o", "--output", type=_PATH, help="Folder to write. [default: FILE without .hkd]")
def unpack(file: Path, output: Path | None) -> None:
    """Unpack the bundle FILE into a folder."""
    from hkd_edge_export.packing import unpack_bundle

    click.echo(unpack_bundle(file, output))
