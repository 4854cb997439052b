"""Batch norms whose statistics are those of the whole batch, of which each process of a team has a part.

torch.nn.SyncBatchNorm does the same, and refuses tensors on a CPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hkd_edge.train.team import Team


class TeamBatchNorm(_BatchNorm):
    """Takes the place of a batch norm, with its parameters and its buffers."""

    def __init__(self, replaced: _BatchNorm, team: Team) -> None:
        super().__init__(replaced.num_features, replaced.eps, replaced.momentum, device="meta")
        self.affine, self.track_running_stats = replaced.affine, replaced.track_running_stats
        self._parameters, self._buffers = replaced._parameters, replaced._buffers
        self.training = replaced.training
        self._team = team

    def _check_input_dim(self, input: Tensor) -> None:
        """Inputs (N, C, ...) of any number of axes, as they come."""

    def forward(self, input: Tensor) -> Tensor:
        """This process's part (N, C, ...) of a batch, normalised by the mean and variance of the whole of it."""
        if not self.training:
            return super().forward(input)
        count, mean, variance = _statistics(input, self._team)
        if self.track_running_stats:
            self._track(mean, variance * count / (count - 1))
        normalised: Tensor = _Normalise.apply(
            input, self.weight, self.bias, mean, variance, count, self.eps, self._team
        )
        return normalised

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def norm_over(team: Team, module: nn.Module) -> None:
    """Replaces the batch norms in `module`, at any depth, by those over the batches of `team`."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, TeamBatchNorm(child, team))
        else:
            norm_over(team, child)


@torch.no_grad()
def _statistics(part: Tensor, team: Team) -> tuple[Tensor, Tensor, Tensor]:
    """Values per channel () of the whole batch, their mean (C,) and their variance (C,), in float32 or more.

    Parts are joined by their own means and variances, not by sums of squares, which cancel. Source: T. Chan, G. Golub,
    R. LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (1979), equation 1.5.
    """
    exact = part.to(torch.promote_types(part.dtype, torch.float32))
    variance, mean = torch.var_mean(exact, _all_but_channels(part), correction=0)
    own = torch.stack([torch.full_like(mean, part.numel() / part.shape[1]), mean, variance])
    counts, means, variances = team.whole(own[None], team.size).unbind(1)
    count = counts.sum(0)
    together = (counts * means).sum(0) / count
    return count[0], together, (counts * (variances + (means - together) ** 2)).sum(0) / count


def _all_but_channels(values: Tensor) -> list[int]:
    return [axis for axis in range(values.ndim) if axis != 1]


class _Normalise(torch.autograd.Function):
    """Batch normalisation by given statistics, with the gradient through them.

    Source: S. Ioffe, C. Szegedy, arXiv 1502.03167, section 3. torch's own kernel takes the two means over the batch in
    that gradient over the part; the difference to those of the whole batch is a line in the input.
    """

    @staticmethod
    def forward(
        ctx: Any,
        part: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
        team: Team,
    ) -> Tensor:
        ctx.save_for_backward(part, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.eps, ctx.team = eps, team
        return F.batch_norm(part, mean, variance, weight, bias, training=False, momentum=0.0, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        part, weight, mean, inverse, count = ctx.saved_tensors
        scale = inverse if weight is None else inverse * weight
        own, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, part, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )
        sums = torch.stack([of_bias, of_weight])
        means = sums * (part.shape[1] / part.numel()) - ctx.team.add(sums.clone()) / count
        slope = scale * inverse * means[1]
        offset = scale * means[0] - slope * mean
        shape = [1, -1, *[1] * (part.ndim - 2)]
        slope, offset = (each.view(shape).to(part.dtype) for each in (slope, offset))
        through = torch.addcmul(own + offset, part, slope)
        given = (None, None) if weight is None else (of_weight, of_bias)
        return through, *given, None, None, None, None, None
