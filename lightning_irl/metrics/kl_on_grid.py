"""KL divergence between densities on a grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightning_irl.metrics.partition_function import log_sum


class KLOnGrid(Metric):
    r"""KL(p, p_theta) by quadrature, p known and :math:`p_\theta = e^{-c}/Z` with Z from the same grid.

    .. math:: KL = \frac{\sum p (\log p + c)}{\sum p} + \log \textstyle\sum e^{-c} - \log \sum p

    The cell's size cancels. Pass -log q as the cost for a sampler's divergence. The grid arrives batch by batch.

    Example:
        >>> metric = KLOnGrid()
        >>> log_p = torch.log(torch.tensor([0.25, 0.75]))
        >>> metric.update(log_p, cost=-log_p)
        >>> abs(round(metric.compute().item(), 6))
        0.0
    """

    full_state_update = False
    higher_is_better = False
    cross: Tensor
    mass: Tensor
    log_sum: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("cross", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("mass", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("log_sum", torch.tensor(-math.inf, dtype=torch.float64), dist_reduce_fx=log_sum)

    def update(self, log_p: Tensor, cost: Tensor) -> None:
        """Add grid points: log p and c/T of each, both (B,); p may be 0 (log p = -inf)."""
        log_p, cost = log_p.detach().double(), cost.detach().double()
        p = log_p.exp()
        self.cross = self.cross + torch.where(p > 0, p * (log_p + cost), 0.0).sum()
        self.mass = self.mass + p.sum()
        self.log_sum = torch.logaddexp(self.log_sum, (-cost).logsumexp(0))

    def compute(self) -> Tensor:
        """KL divergence, a scalar in nats."""
        return (self.cross / self.mass + self.log_sum - self.mass.log()).float()
