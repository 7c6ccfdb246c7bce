"""One pass of chains along an annealed path, in either direction, and the weights they collect."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.mcmc import hmc
from lightning_irl.partition.diagnostics import LogMean, effective_sample_size
from lightning_irl.partition.path import GeometricPath
from lightning_irl.partition.pilot import Schedule


def pass_forward(
    path: GeometricPath, schedule: Schedule, free: Tensor, leapfrog_steps: int
) -> tuple[Tensor, Tensor, float]:
    """Ends (C, d), log weights (C,) and mean acceptance of chains from q to the model."""
    log_weights = torch.zeros(len(free), dtype=torch.float64, device=free.device)
    acceptance = torch.zeros((), device=free.device)
    for index in range(1, len(schedule.betas)):
        beta = schedule.betas[index]
        state, slope = path.state(free, beta)
        log_weights += (beta - schedule.betas[index - 1]) * slope
        state, info = hmc.step(
            state, path.potential(beta), schedule.step_sizes[index], leapfrog_steps, schedule.masses[index]
        )
        free = state.position
        acceptance += info.acceptance.mean()
    return free, log_weights, float(acceptance) / (len(schedule.betas) - 1)


def pass_reverse(
    path: GeometricPath, schedule: Schedule, free: Tensor, leapfrog_steps: int
) -> tuple[Tensor, Tensor, float]:
    """Ends (C, d), log weights of 1/Z (C,) and mean acceptance of the forward run's exact time reversal."""
    log_weights = torch.zeros(len(free), dtype=torch.float64, device=free.device)
    acceptance = torch.zeros((), device=free.device)
    for index in range(len(schedule.betas) - 1, 0, -1):
        beta = schedule.betas[index]
        state, _ = path.state(free, beta)
        state, info = hmc.step(
            state, path.potential(beta), schedule.step_sizes[index], leapfrog_steps, schedule.masses[index]
        )
        free = state.position
        with torch.no_grad():
            log_q, log_model = path.ends(free)
        log_weights -= (beta - schedule.betas[index - 1]) * (log_model.to(torch.float64) - log_q.to(torch.float64))
        acceptance += info.acceptance.mean()
    return free, log_weights, float(acceptance) / (len(schedule.betas) - 1)


def choose_starts(
    path: GeometricPath, samples: Tensor, log_weights: Tensor | None, num_chains: int
) -> tuple[Tensor, Tensor]:
    """Starts (C, d) of the reverse and their log weights (C,), taken at random without replacement."""
    chosen = torch.randperm(len(samples), device=samples.device)[:num_chains]
    offsets = torch.zeros(len(samples), dtype=torch.float64, device=samples.device)
    offsets = offsets if log_weights is None else log_weights.to(torch.float64)
    return path.to_position(samples[chosen]), offsets[chosen]


def summarise_reverse(log_weights: Tensor, offsets: Tensor) -> tuple[LogMean, float]:
    """log Z and effective sample size from weights of 1/Z at weighted starts, with the error of a ratio of means."""
    count = len(log_weights)
    together = log_weights + offsets
    value = float(torch.logsumexp(offsets, 0) - torch.logsumexp(together, 0))
    difference = torch.softmax(together, 0) - torch.softmax(offsets, 0)
    stderr = math.sqrt(float(difference.square().sum()) * count / (count - 1)) if count > 1 else math.nan
    return LogMean(value, stderr), min(effective_sample_size(together), effective_sample_size(offsets))
