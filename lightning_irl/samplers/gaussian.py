"""One Gaussian with a full covariance."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lightning_irl.samplers.transport import Transport
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.support import support_of

BOX_SCALE = 1.7  # a logistic variable with this standard deviation of its logit is close to uniform on the box


class GaussianSampler(Transport):
    r"""x = m + L z with z standard normal; on a box, its sigmoid.

    Starts at the training data's location with ``width`` times its scale. L is lower-triangular with a positive
    diagonal.

    Args:
        event: what one sample looks like.
        width: standard deviation at the start over the training data's.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> samples, log_q = GaussianSampler(make_event("point", [2])).rsample(5)
        >>> samples.shape, log_q.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(self, event: Event, width: float = 1.0) -> None:
        super().__init__(event)
        self.space.require_continuous("GaussianSampler")
        self.support = self.space.support
        location, scale = self.space.location, self.space.scale
        if self.space.edges is not None:  # the middle of the box, in logits
            location, scale = torch.zeros(self.dimension), torch.full((self.dimension,), BOX_SCALE)
        self.mean = nn.Parameter(location)
        self.log_diagonal = nn.Parameter((width * scale).log())
        self.off_diagonal = nn.Parameter(torch.zeros(self.dimension, self.dimension))

    def root(self) -> Tensor:
        """The lower-triangular square root L of the covariance (d, d)."""
        return self.off_diagonal.tril(-1) + torch.diag(self.log_diagonal.exp())

    def from_base(self, base: Tensor) -> tuple[Tensor, Tensor]:
        samples, support_log_det = self.support.constrain(self.mean + base @ self.root().T)
        return samples.view(len(base), *self.shape), self.log_diagonal.sum() + support_log_det

    def to_base(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        free, support_log_det = self.support.unconstrain(samples.flatten(1))
        base = torch.linalg.solve_triangular(self.root(), (free - self.mean).T, upper=False).T
        return base, support_log_det - self.log_diagonal.sum()


@torch.no_grad()
def matched_log_prob(event: Event, samples: Tensor) -> Callable[[Tensor], Tensor]:
    """log density of the Gaussian with the mean and covariance of ``samples`` (N, *shape), in free coordinates on a
    box.

    A ridge of 0.1 d/N times the mean variance makes the covariance invertible however small N is.

    Returns:
        A function of samples (B, *shape) to log densities (B,), in nats.
    """
    support = support_of(event)
    free, _ = support.unconstrain(samples.flatten(1))
    centred = free - free.mean(0)
    covariance = centred.T @ centred / len(free)
    ridge = 0.1 * covariance.diagonal().mean() * covariance.shape[0] / len(free) + torch.finfo(free.dtype).tiny
    covariance = covariance + ridge * torch.eye(covariance.shape[0], dtype=free.dtype, device=free.device)
    # cholesky_ex and no torch.distributions: their checks would wait for the device in every training step
    mean, root = free.mean(0), torch.linalg.cholesky_ex(covariance).L
    constant = root.diagonal().log().sum() + len(root) / 2 * math.log(2 * math.pi)

    def log_prob(values: Tensor) -> Tensor:
        with torch.no_grad():
            free, log_det = support.unconstrain(values.flatten(1))
            noise = torch.linalg.solve_triangular(root, (free - mean).T, upper=False)
            return -noise.square().sum(0) / 2 - constant + log_det

    return log_prob
