"""log Z from log weights that arrive batch by batch, over any number of processes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric


def log_sum(values: Tensor) -> Tensor:
    """Reduce log sums of several processes (P,) to the log of their sum."""
    return torch.logsumexp(values.flatten(), 0)


class PartitionFunction(Metric):
    r"""Importance estimate :math:`\log E_q[e^{-c}/q]` of log Z, with its effective sample size.

    The log of a mean is not a mean of logs: what is kept, and reduced over processes before the logarithm, are the log
    sums of the weights and of their squares.

    Example:
        >>> metric = PartitionFunction()
        >>> metric.update(cost=torch.zeros(4), log_q=torch.full((4,), -2.0))
        >>> metric.compute()
        tensor(2.)
    """

    full_state_update = False
    higher_is_better = None
    log_sum: Tensor
    log_sum_squares: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("log_sum", torch.tensor(-math.inf, dtype=torch.float64), dist_reduce_fx=log_sum)
        self.add_state("log_sum_squares", torch.tensor(-math.inf, dtype=torch.float64), dist_reduce_fx=log_sum)
        self.add_state("count", torch.tensor(0, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, cost: Tensor, log_q: Tensor) -> None:
        """Add draws: c/T and log q of each, both (B,)."""
        log_weights = (-cost - log_q).detach().double()
        self.log_sum = torch.logaddexp(self.log_sum, log_weights.logsumexp(0))
        self.log_sum_squares = torch.logaddexp(self.log_sum_squares, (2 * log_weights).logsumexp(0))
        self.count = self.count + len(log_weights)

    def compute(self) -> Tensor:
        """log Z, a scalar in nats."""
        return (self.log_sum - self.count.double().log()).float()

    def ess(self) -> Tensor:
        """Effective sample size of the draws seen by this process."""
        return (2 * self.log_sum - self.log_sum_squares).exp().float()
