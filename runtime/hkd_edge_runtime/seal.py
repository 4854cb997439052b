"""JSON files whose last entry is the SHA-256 of every line above it, so that no byte of them can change unseen.

By hand: `head -n -2 manifest.json | sha256sum` prints what the file's last line but one says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

SEAL = "sha256_above"
_TAIL_BYTES = len(f'  "{SEAL}": "{"0" * 64}"\n}}\n')


def sealed(content: Mapping[str, object]) -> bytes:
    """Indented UTF-8 JSON of `content`, which has at least one key, with its seal.

    Raises:
        ValueError: for NaN and infinities, which JSON lacks.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    above = (text.removesuffix("\n}") + ",\n").encode("utf-8")
    return above + _tail(above)


def parse_strictly(content: bytes) -> Any:
    """The value of JSON in UTF-8; the seal is an entry like others.

    Raises:
        ValueError: for bytes that are no such JSON, a key that is there twice, NaN and infinities.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_seal(content: bytes) -> None:
    """Compares a sealed file with its seal.

    Raises:
        ValueError: if the file differs from the one that `sealed` wrote, or was never sealed.
    """
    if content[-_TAIL_BYTES:] != _tail(content[:-_TAIL_BYTES]):
        raise ValueError(f"{SEAL}: expected the SHA-256 of all lines above it, got another or none")


def _tail(above: bytes) -> bytes:
    return f'  "{SEAL}": "{hashlib.sha256(above).hexdigest()}"\n}}\n'.encode()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is there twice in one mapping")
    return result
