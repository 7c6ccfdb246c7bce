"""Importance sampling from the sampler."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.partition.diagnostics import effective_sample_size, log_mean_with_error, pareto_k_hat
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.path import require_density
from lightning_irl.processes import gather
from lightning_irl.samplers.base import Sampler

MIN_ESS = 100.0
MAX_K_HAT = 0.5


def importance(
    cost: CostFunction, sampler: Sampler, num_samples: int = 4096, batch_size: int = 4096
) -> PartitionEstimate:
    r"""log Z from draws of q, the paper's sample-based estimate (section 2.3).

    .. math:: \log Z = \log E_q[e^{-c(x)} / q(x)]

    A lower bound of log Z in expectation. It is too low where q misses a mode, although the weights look perfect, and
    its error is unreliable where weights are heavy-tailed (large k_hat).

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        sampler: q, with a density.
        num_samples: draws.
        batch_size: draws evaluated at once.

    Returns:
        The estimate; reliable with at least 100 effective samples and k_hat at most 0.5, above which weights have no
        variance and the standard error no meaning.

    Raises:
        ValueError: if the sampler has no density.
    """
    return summarise_importance(importance_log_weights(cost, sampler, num_samples, batch_size))


@torch.no_grad()
def importance_log_weights(
    cost: CostFunction, sampler: Sampler, num_samples: int = 4096, batch_size: int = 4096
) -> Tensor:
    """log weights -c - log q of ``num_samples`` fresh draws of q in each process, those of all processes, float64, in
    nats.
    """
    require_density(sampler)
    energy, batches = as_energy(cost), []
    for done in range(0, num_samples, batch_size):
        samples, log_q = sampler.sample(min(batch_size, num_samples - done))
        assert log_q is not None
        batches.append(energy.log_weights(samples, sampler, log_q))
    return gather(torch.cat(batches))


@torch.no_grad()
def log_ratios(cost: CostFunction, sampler: Sampler, samples: Tensor, batch_size: int = 4096) -> Tensor:
    """-c - log q (B,) at given samples (B, *shape), float64, in nats."""
    energy, ratios = as_energy(cost), []
    for part in samples.split(batch_size):
        log_q = sampler.log_prob(part)
        ratios.append(energy.log_weights(part, sampler, log_q))
    return torch.cat(ratios)


def summarise_importance(log_weights: Tensor, method: str = "importance") -> PartitionEstimate:
    """The estimate that independent log weights (N,) make, with its verdict."""
    value, stderr = log_mean_with_error(log_weights)
    ess, k_hat = effective_sample_size(log_weights), pareto_k_hat(log_weights)
    doubts = []
    if not math.isfinite(value):
        doubts.append("log weights are not finite")
    elif not ess >= MIN_ESS:
        doubts.append(f"effective sample size {ess:.0f} of {len(log_weights)} draws is below {MIN_ESS:.0f}")
    if math.isfinite(value) and not k_hat <= MAX_K_HAT:
        doubts.append(f"k_hat {k_hat:.2f} is above {MAX_K_HAT}: the variance of the weights may be infinite")
    return PartitionEstimate(
        value,
        stderr,
        ess,
        k_hat,
        method,
        len(log_weights),
        certifies=True,
        reliable=not doubts,
        reason="; ".join(doubts),
    )
