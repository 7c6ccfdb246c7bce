"""Bits per dimension of the raw data, from log densities of the data as served."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric


class BitsPerDim(Metric):
    r"""Mean of :math:`-(\log p(\text{served}) + \text{log\_det}) / (d \log 2)`.

    With ``log_det`` = log |d served / d raw| and raw data in grey levels plus uniform noise, this is the convention of
    the literature: an upper bound on the bits per dimension of the discrete data (Theis et al. 2016, arXiv 1511.01844).
    Where the data is served discrete, ``log_prob`` is a log probability and ``log_det`` 0: the bits are then those of
    the data, exactly.

    Args:
        dimension: number of coordinates d.

    Example:
        >>> metric = BitsPerDim(dimension=2)
        >>> metric.update(log_prob=torch.zeros(3), log_det=torch.full((3,), -2 * math.log(16)))
        >>> metric.compute()
        tensor(4.)
    """

    full_state_update = False
    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, log_prob: Tensor, log_det: Tensor) -> None:
        """Add samples: log density as served and log |d served / d raw| of each, both (B,), in nats."""
        self.total = self.total - (log_prob + log_det).detach().double().sum()
        self.count = self.count + len(log_prob)

    def compute(self) -> Tensor:
        """Bits per dimension, a scalar."""
        return (self.total / self.count / (self.dimension * math.log(2))).float()
