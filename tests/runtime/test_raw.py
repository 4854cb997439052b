"""The raw calls that bench compares with compute what the backends compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hkd_edge_runtime.backends.base import OUTPUTS
from hkd_edge_runtime.raw import RAW_CALLS


@pytest.mark.parametrize("target", list(RAW_CALLS))
@pytest.mark.parametrize("threads", [1, 2])
def test_a_raw_call_computes_the_outputs_of_the_image_that_was_bound(
    target: str, threads: int, model_writer: Callable[..., tuple[Path, ...]], toy: Any, tmp_path: Path
) -> None:
    images = toy.images(2)
    call = RAW_CALLS[target](model_writer(target, tmp_path, toy)[0], images[1], threads)
    expected = toy.outputs(images[1:])
    outputs = call()
    for name, array, wanted in zip(OUTPUTS, outputs, expected, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=1e-4, atol=1e-5, err_msg=name)
    for array in outputs:
        array[:] = np.nan
    again = call()
    assert all(before is after and not np.isnan(after).any() for before, after in zip(outputs, again, strict=True))
