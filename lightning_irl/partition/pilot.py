"""A pilot run along the path: where to put temperatures, and how far to step at each.

It is thrown away afterwards. The run whose weights are used has a schedule that is fixed before its first draw, so that
the adaptation here does not bias it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.mcmc import hmc
from lightning_irl.mcmc.kernel import ChainState
from lightning_irl.partition.path import GeometricPath

CONDITIONAL_ESS = 0.5
MOVES_PER_STAGE = 4
MAX_STAGES = 300
# In units of mass^(1/2), a trajectory on a Gaussian of the fitted curvature has period 2 pi; half a period only changes
# the sign, and a quarter goes farthest.
QUARTER_PERIOD = math.pi / 2


class Schedule(NamedTuple):
    """How a run goes along the path.

    Attributes:
        betas: inverse temperatures, K + 1 numbers from 0 to 1.
        step_sizes: of the moves at each of them, K + 1 numbers.
        masses: (K + 1, d) diagonal mass matrices.
        length: thermodynamic length of the path, in nats^(1/2): with well mixed moves the log weights of K temperatures
            have a variance of about length^2 / K.
    """

    betas: list[float]
    step_sizes: list[float]
    masses: Tensor
    length: float


class _Stage(NamedTuple):
    beta: float
    length: float
    step_size: float
    mass: Tensor


def pilot_schedule(
    path: GeometricPath,
    num_temperatures: int,
    leapfrog_steps: int,
    num_chains: int = 128,
    target_acceptance: float = 0.8,
) -> Schedule:
    """Find temperatures, step sizes and masses by a small sequential Monte Carlo run.

    Each stage raises beta until the conditional effective sample size has halved, resamples, and moves. Step sizes
    follow the acceptance; masses are the mean squared gradient of each coordinate (the curvature, which unlike the
    variance does not mistake the distance between modes for the width of one). Temperatures are then spaced evenly in
    thermodynamic length.

    Args:
        path: from q to the model.
        num_temperatures: K of the schedule.
        leapfrog_steps: of the moves.
        num_chains: chains of the pilot.
        target_acceptance: mean acceptance that step sizes are tuned to.

    Source: Zhou, Johansen and Aston, "Toward automatic model comparison: an adaptive sequential Monte Carlo approach",
    JCGS 25 (2016), arXiv 1303.3123.
    """
    free = path.draw_start(num_chains)
    state, slope = path.state(free, 0.0)
    stages = [_Stage(0.0, 0.0, 1.0 / leapfrog_steps, _curvature(state))]
    while stages[-1].beta < 1:
        beta, length = _next_beta(slope, stages[-1].beta)
        if len(stages) == MAX_STAGES:
            beta = 1.0
        log_weights = torch.nan_to_num((beta - stages[-1].beta) * slope, nan=-math.inf)
        state, slope = path.state(state.position[_systematic(log_weights)], beta)
        mass, log_step = _curvature(state), math.log(stages[-1].step_size)
        target = path.potential(beta)
        for _ in range(MOVES_PER_STAGE):
            state, info = hmc.step(state, target, math.exp(log_step), leapfrog_steps, mass)
            log_step += float(info.acceptance.mean()) - target_acceptance
            log_step = min(log_step, math.log(QUARTER_PERIOD / leapfrog_steps))
        stages.append(_Stage(beta, length, math.exp(log_step), mass))
        slope = path.state(state.position, beta)[1]
    return _spread(stages, num_temperatures)


def _curvature(state: ChainState) -> Tensor:
    usable = state.gradient[torch.isfinite(state.gradient).all(-1)]
    if len(usable) == 0:
        return torch.ones_like(state.position[0])
    return usable.square().mean(0).clamp(min=1e-12)


def _next_beta(slope: Tensor, beta: float) -> tuple[float, float]:
    """The beta at which the conditional effective sample size falls to its target, and the length of that step."""
    low, high = 0.0, 1.0 - beta
    if _log_conditional_ess(slope, high) >= math.log(CONDITIONAL_ESS):
        return 1.0, math.sqrt(max(-_log_conditional_ess(slope, high), 0.0))
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _log_conditional_ess(slope, middle) >= math.log(CONDITIONAL_ESS):
            low = middle
        else:
            high = middle
    return (beta + high if beta + high < 1 else 1.0), math.sqrt(-math.log(CONDITIONAL_ESS))


def _log_conditional_ess(slope: Tensor, change: float) -> float:
    log_weights = torch.nan_to_num(change * slope, nan=-math.inf)
    top = log_weights.max()
    weights = (log_weights - top).exp()
    return float(2 * weights.sum().log() - weights.square().sum().log()) - math.log(len(slope))


def _systematic(log_weights: Tensor) -> Tensor:
    """Indices (B,) of one systematic resampling."""
    if not torch.isfinite(log_weights.max()):
        return torch.arange(len(log_weights), device=log_weights.device)
    cumulative = torch.softmax(log_weights, 0).cumsum(0)
    points = (torch.arange(len(cumulative), device=cumulative.device) + torch.rand((), device=cumulative.device)) / len(
        cumulative
    )
    return torch.searchsorted(cumulative, points.to(cumulative.dtype)).clamp(max=len(cumulative) - 1)


def _spread(stages: list[_Stage], num_temperatures: int) -> Schedule:
    """Temperatures evenly in length between the pilot's stages, step sizes and masses interpolated geometrically."""
    reached = torch.tensor([stage.length for stage in stages], dtype=torch.float64).cumsum(0)
    total = float(reached[-1])
    if total == 0:  # the sampler is the model: any schedule will do
        reached = torch.linspace(0, 1, len(stages), dtype=torch.float64)
    points = torch.linspace(0, float(reached[-1]), num_temperatures + 1, dtype=torch.float64)
    right = torch.searchsorted(reached, points).clamp(1, len(stages) - 1)
    share = ((points - reached[right - 1]) / (reached[right] - reached[right - 1]).clamp(min=1e-300)).clamp(0, 1)
    betas = torch.tensor([stage.beta for stage in stages], dtype=torch.float64)
    log_steps = torch.tensor([stage.step_size for stage in stages], dtype=torch.float64).log()
    log_masses = torch.stack([stage.mass for stage in stages]).log()
    placed = torch.lerp(betas[right - 1], betas[right], share)
    placed[0], placed[-1] = 0.0, 1.0
    right_of, part = right.to(log_masses.device), share.to(log_masses)[:, None]
    return Schedule(
        betas=placed.tolist(),
        step_sizes=torch.lerp(log_steps[right - 1], log_steps[right], share).exp().tolist(),
        masses=torch.lerp(log_masses[right_of - 1], log_masses[right_of], part).exp(),
        length=total,
    )
