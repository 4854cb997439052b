"""The processes that train one network together, and what they tell each other.

Each process has its part of every batch and computes the network's answers to it; then all of them have the answers to
the whole batch, and take the loss of that. So a loss may be any function of a batch, such as relations between its
images or a mean over those on which an axis speaks, and is the same as in one process. Batch norms take their
statistics from the whole batch too (`hkd_edge.train.batch_norm`). What differs from one process is rounding.

This is `torch.distributed` as it is, with one message for all gradients. DistributedDataParallel, on which Lightning
Fabric rests as well, takes the mean of each process's own loss, which is another one for such losses; that it sends
gradients while others are still being computed gains nothing for networks of a few megabytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from hkd_edge.errors import ProcessLostError

T = TypeVar("T")
# The others wait for as long as the first reads and decodes images; the end of a process is noticed at once all the
# same, by its connections.
_WAIT = timedelta(days=7)
_WAIT_IN_STEPS = timedelta(minutes=10)


class Team:
    """One of `size` processes that train together, the one of number `rank`; `local_rank` is its number on its machine.

    A team of one needs nothing of `torch.distributed`, and its methods give back what they are given.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self._groups: dict[str, Any] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Team:
        return self  # a copied network has the same team

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and tells."""
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """This process's part (B / size, ...) of `rows` (B, ...); the first ones have one row more if need be."""
        return rows.tensor_split(self.size)[self.rank]

    def whole(self, part: Tensor, count: int) -> Tensor:
        """The parts (count, ...) of all processes in their order; gradients flow to one's own part.

        They are `size` times the gradients of the loss, since `average_gradients` divides by that.
        """
        return part if self.size == 1 else _Whole.apply(part, self, count)

    def answers(self, network: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """`network(rows)` (B, ...), of which each process computes its part."""
        if len(rows) < self.size:
            return network(rows)
        return self.whole(network(self.part(rows)), len(rows))

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of the processes' tensors, in the place of `tensor`."""
        if self.size > 1:
            with _connected(self.size):
                dist.all_reduce(tensor, group=self._group(tensor.device))
        return tensor

    def average_gradients(self, module: nn.Module) -> None:
        """Gives every parameter of `module` the mean of the processes' gradients."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        together = self.add(torch.cat([gradient.flatten() for gradient in gradients])).div_(self.size)
        for gradient, mean in zip(gradients, torch.split(together, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives the first process, for all; the others wait for it."""
        if self.size == 1:
            return make()
        told: list[Any] = [make() if self.first else None]
        with _connected(self.size):
            dist.broadcast_object_list(told, src=0)
        value: T = told[0]
        return value

    def tell(self, value: object) -> None:
        """Tells all other processes `value`, which they take by `hear`."""
        self.from_first(lambda: value)

    def hear(self) -> Any:
        """The next thing that the first process tells."""
        return self.from_first(lambda: None)

    def leave(self) -> None:
        """Ends the connections, when all is said; after an error they are left, since a GPU's would wait for others."""
        if self.size > 1:
            dist.destroy_process_group()

    def _group(self, device: torch.device) -> Any:
        """Who talks of tensors on `device`; all processes come here for the first time in the same step."""
        if device.type not in self._groups:
            backend = "nccl" if device.type == "cuda" else "gloo"
            self._groups[device.type] = dist.new_group(backend=backend, timeout=_WAIT_IN_STEPS)
        return self._groups[device.type]


ALONE = Team()


def started_as_one_of_several() -> bool:
    """Whether torchrun, or `--devices`, has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextmanager
def join_team() -> Iterator[Team]:
    """The team that this process was started for: by torchrun's variables, or alone without them.

    Raises:
        ProcessLostError: if the others cannot be reached.
    """
    if not started_as_one_of_several():
        yield ALONE
        return
    team = Team(*(int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    with _connected(team.size):
        dist.init_process_group("gloo", timeout=_WAIT)
    yield team


@contextmanager
def _connected(size: int) -> Iterator[None]:
    """Tells of what the backends raise, by many names, when another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(
            f"expected {size} processes that train together, got the end of one ({_first_line(error)}). Its own "
            "message says why; without one it was killed, perhaps for lack of memory. What is trained is kept to the "
            "last whole epoch: go on by --resume, by any number of processes."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


class _Whole(torch.autograd.Function):
    """See `Team.whole`. Parts may differ in size, so each is added to zeros at its place."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, team: Team, count: int) -> Tensor:
        ctx.team = team
        whole = part.new_zeros(count, *part.shape[1:])
        team.part(whole).copy_(part)
        return team.add(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.team.part(gradient) * ctx.team.size, None, None
