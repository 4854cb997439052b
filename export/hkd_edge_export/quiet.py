"""Keeps the progress bars, logs and warnings of other people's tools out of ours."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Silences printing, logging and warnings of the whole process while the block runs.

    Errors still arrive as exceptions, and what the silenced tools produce is linted afterwards: nothing rests
    on a warning that somebody would have to read.
    """
    disabled = logging.root.manager.disable
    nowhere = io.StringIO()
    with redirect_stdout(nowhere), redirect_stderr(nowhere), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
