"""A cost whose model is a Gaussian: log Z in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lightning_irl.costs.base import Cost
from lightning_irl.spaces.event import Event


class QuadraticCost(Cost):
    r"""c(x) = 1/2 |L^T (x - m)|^2 + b: the model is a Gaussian with precision L L^T, and log Z is known.

    .. math:: \log Z = \tfrac d2 \log 2\pi - \log|\det L| - b

    The mean m, the lower-triangular L (positive diagonal) and the constant b are learned; they start at the location
    and scale of the training data and at zero.

    Args:
        event: what one sample looks like; real support.

    Raises:
        ValueError: on a box, where the model is not a Gaussian and log Z is not known.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> round(QuadraticCost(make_event("point", [2])).log_z().item(), 4)  # log 2 pi
        1.8379
    """

    def __init__(self, event: Event) -> None:
        super().__init__(event)
        if self.space.edges is not None:
            raise ValueError(
                "QuadraticCost is a Gaussian on all of R^d; the data lives on a box: use MLPCost or ConvCost"
            )
        self.mean = nn.Parameter(self.space.location)
        self.log_diagonal = nn.Parameter(-self.space.scale.log())
        self.off_diagonal = nn.Parameter(torch.zeros(self.dimension, self.dimension))
        self.constant = nn.Parameter(torch.zeros(()))

    def forward(self, samples: Tensor) -> Tensor:
        root = self.off_diagonal.tril(-1) + torch.diag(self.log_diagonal.exp())
        return ((samples.flatten(1) - self.mean) @ root).square().sum(-1) / 2 + self.constant

    def log_z(self) -> Tensor:
        """log of the partition function, a scalar in nats."""
        return self.dimension / 2 * math.log(2 * math.pi) - self.log_diagonal.sum() - self.constant
