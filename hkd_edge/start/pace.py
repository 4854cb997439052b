"""How long a training step takes on this machine."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
import torch.nn.functional as F

from hkd_edge.models.build import build
from hkd_edge.recipe.architecture import Architecture
from hkd_edge.start.choose import Pace, student_architecture, teacher_architecture
from hkd_edge.train.device import select_device
from hkd_edge.train.memory import keep_freed_memory

_BATCH_SIZE = 64
_WARM_UP, _STEPS = 2, 6


def measure_pace(size: int, channels: int, classes: int) -> Pace:
    """The pace of student and teacher for square images of `size` pixels, by a few steps on images of noise."""
    return Pace(
        size,
        _seconds_per_image(student_architecture(size), size, channels, classes),
        _seconds_per_image(teacher_architecture(size), size, channels, classes),
    )


def _seconds_per_image(architecture: dict[str, Any], size: int, channels: int, classes: int) -> float:
    keep_freed_memory()  # as the training does: without it a step takes up to twice as long
    device = select_device("auto")
    network = build(Architecture.model_validate(architecture), channels, classes)
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    images = torch.rand(_BATCH_SIZE, channels, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(_BATCH_SIZE, device=device) % classes
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    times = []
    for _ in range(_WARM_UP + _STEPS):
        started = time.perf_counter()
        loss = F.cross_entropy(network(images), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - started)
    return statistics.median(times[_WARM_UP:]) / _BATCH_SIZE
