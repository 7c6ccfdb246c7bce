"""Draws of the model: the sampler's, resampled by their weights, then moved by chains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.mcmc.hmc import HMC
from lightning_irl.mcmc.kernel import Kernel
from lightning_irl.mcmc.resampling import resample
from lightning_irl.mcmc.target import target_from
from lightning_irl.samplers.base import Sampler

ADAPT_RATE = 0.5  # in the first half of the moves


@dataclass(frozen=True)
class ModelSamples:
    """Draws of exp(-c)/Z, with diagnostics.

    Attributes:
        samples: (N, *shape).
        path: where the chains were (N, T + 1, *shape), the last being the samples; one place without moves.
        ess: effective sample size of the sampler's draws that were resampled, over their number; nan if none were.
        acceptance: mean over chains of the moves after adaptation; nan without moves.
        temperature: of the moves; unless it is 1, these are not draws of the model.
    """

    samples: Tensor
    path: Tensor
    ess: float
    acceptance: float
    temperature: float = 1.0

    @property
    def origin(self) -> str:
        """How they were drawn, in words."""
        moves = self.path.shape[1] - 1
        words = "q" if math.isnan(self.ess) else f"q resampled, ESS {self.ess:.1%}"
        heat = "" if self.temperature == 1 else f" at temperature {self.temperature:g}"
        return words + (f"; {moves} moves{heat}, acceptance {self.acceptance:.2f}" if moves else "")


def sample_model(
    cost: CostFunction,
    sampler: Sampler,
    num_samples: int,
    pool: int = 8192,
    moves: int = 0,
    kernel: Kernel | None = None,
    temperature: float = 1.0,
) -> ModelSamples:
    """Draw from exp(-c)/Z by importance resampling of a sampler's draws, by chains started there, or by both.

    Where the effective sample size is small, resampling alone repeats a few draws; chains alone still resemble the
    sampler after a few moves; together they do better than either. Chains move in the base of the sampler if it has
    one. Their step size is adapted in the first half of the moves and fixed in the second.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats; differentiable if there are
            moves.
        sampler: q, with a density.
        num_samples: draws, and chains.
        pool: draws of q to resample from; 0 to start the chains at draws of q as they are.
        moves: of each chain; 0 for none.
        kernel: of the moves; by default :class:`~lightning_irl.mcmc.hmc.HMC`.
        temperature: the chains are at exp(-c/temperature). Below 1 they concentrate where the model is denser, and are
            not draws of the model.

    Raises:
        ValueError: if neither resampling nor moves were asked for, or the temperature is not above 0, or other than 1
            without moves.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it is above 0, and 1 for draws of the model")
    if temperature != 1 and moves < 1:
        raise ValueError(
            f"temperature is {temperature}, but there are no moves to be made at it; set moves, or temperature to 1"
        )
    if pool < 1 and moves < 1:
        raise ValueError(f"pool is {pool} and moves {moves}: these would be draws of the sampler; give one of them")
    if pool:
        samples, ess = resample(cost, sampler, num_samples, pool)
    else:
        samples, ess = sampler.sample(num_samples)[0], math.nan
    if not moves:
        return ModelSamples(samples, samples[:, None], ess, math.nan)
    kernel = kernel or HMC()
    target = target_from(as_energy(cost).at(temperature), sampler)
    state = kernel.init(target.to_position(samples), target.potential)
    size, path, accepted = torch.tensor(float(kernel.step_size)), [samples], []
    for move in range(moves):
        state, info = kernel.step(state, target.potential, size.to(samples))
        path.append(target.to_samples(state.position))
        acceptance = info.acceptance.mean().cpu()
        if kernel.target_acceptance is not None and 2 * move < moves:
            size = size * torch.exp(ADAPT_RATE * (acceptance - kernel.target_acceptance))
        accepted.append(float(acceptance))
    late = accepted[moves // 2 :]
    return ModelSamples(path[-1], torch.stack(path, 1), ess, sum(late) / len(late), temperature)
