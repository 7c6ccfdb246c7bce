"""Draws of the model from draws of the sampler."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.samplers.base import Sampler


@torch.no_grad()
def resample(
    cost: CostFunction, sampler: Sampler, num_samples: int, pool: int = 8192, batch_size: int = 4096
) -> tuple[Tensor, float]:
    """Sampling importance resampling (Rubin 1987): approximate draws of exp(-c)/Z out of a pool of the sampler's.

    Systematic resampling, so that a draw is repeated only when its weight is above a share of 1/num_samples. If the
    effective sample size is small, a few draws of the pool represent the whole model.

    Args:
        cost: samples (B, *shape) to c/T (B,), in nats.
        sampler: q, with a density.
        num_samples: draws of the model.
        pool: draws of the sampler to choose from.
        batch_size: samples evaluated at once.

    Returns:
        Samples (num_samples, *shape) in random order, and the pool's effective sample size over its size.
    """
    energy, parts = as_energy(cost), []
    for start in range(0, pool, batch_size):
        samples, log_q = sampler.sample(min(batch_size, pool - start))
        if log_q is None:
            raise ValueError(f"sampler {type(sampler).__name__} has no density to weigh its draws by")
        parts.append((samples, energy.log_weights(samples, sampler, log_q)))
    samples = torch.cat([part[0] for part in parts])
    weights = torch.cat([part[1] for part in parts]).softmax(0)
    comb = (torch.arange(num_samples, device=samples.device) + torch.rand((), device=samples.device)) / num_samples
    chosen = torch.searchsorted(weights.cumsum(0), comb.double()).clamp(max=len(samples) - 1)
    order = torch.randperm(num_samples, device=samples.device)
    return samples[chosen[order]], float(1 / weights.square().sum() / len(weights))
