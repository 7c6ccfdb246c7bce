"""Draws of the model, by chains that continue where annealing ended."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.mcmc import hmc
from lightning_irl.mcmc.kernel import init
from lightning_irl.partition.annealed import AnnealedRun, annealed_run
from lightning_irl.partition.diagnostics import effective_sample_size, split_r_hat
from lightning_irl.processes import gather
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


class ModelDraws(NamedTuple):
    """Weighted draws of p_theta, those of this process.

    Attributes:
        samples: (C, T, *shape), T successive draws of each of C chains.
        log_weights: (C,) log weight of each whole chain, in nats; zeros if all count alike. With the weights of
            annealing the draws are right on average even where the chains do not mix.
        acceptance: mean over moves.
        r_hat: split R-hat of the cost, of all processes' chains; nan with fewer than four draws a chain. Informative
            only for long chains.
        ess: effective number of chains by their weights, of all processes'.
    """

    samples: Tensor
    log_weights: Tensor
    acceptance: float
    r_hat: float
    ess: float


def draw_model(
    cost: CostFunction,
    start: Sampler,
    event: Event | None = None,
    num_chains: int = 256,
    draws_per_chain: int = 8,
    *,
    num_temperatures: int = 200,
    leapfrog_steps: int = 4,
) -> ModelDraws:
    """Anneal from ``start`` to the model, then move on at the model.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature.
        start: a sampler with a density; a broad one where the trained one may miss a mode.
        event: default the sampler's.
        num_chains: C.
        draws_per_chain: T, the first being the end of the annealing.
        num_temperatures: of the annealing.
        leapfrog_steps: of every move.
    """
    run = annealed_run(cost, start, event, num_chains, num_temperatures, leapfrog_steps)
    return continue_chains(run, draws_per_chain, leapfrog_steps)


def continue_chains(run: AnnealedRun, draws_per_chain: int = 8, leapfrog_steps: int = 4) -> ModelDraws:
    """Move the chains of a forward run on at the model, with the step size and mass of its last temperature."""
    target = run.path.potential(1.0)
    state = init(run.free, target)
    kept, values, acceptance = [run.samples], [state.potential], 0.0
    for _ in range(draws_per_chain - 1):
        state, info = hmc.step(state, target, run.schedule.step_sizes[-1], leapfrog_steps, run.schedule.masses[-1])
        kept.append(run.path.to_samples(state.position))
        values.append(state.potential)
        acceptance += float(info.acceptance.mean())
    return ModelDraws(
        samples=torch.stack(kept, 1),
        log_weights=run.log_weights,
        acceptance=acceptance / (draws_per_chain - 1) if draws_per_chain > 1 else run.acceptance,
        r_hat=split_r_hat(gather(torch.stack(values, 1))),
        ess=effective_sample_size(gather(run.log_weights)),
    )


def as_model_draws(samples: Tensor | ModelDraws, shape: tuple[int, ...]) -> ModelDraws:
    """Read a tensor as draws of the model.

    Args:
        samples: (N, *shape) independent draws, or (C, T, *shape) draws of C chains, equally weighted.
        shape: of one sample.

    Raises:
        ValueError: if the tensor has neither shape.
    """
    if isinstance(samples, ModelDraws):
        return samples
    extra = samples.dim() - len(shape)
    if extra not in (1, 2) or tuple(samples.shape[extra:]) != shape:
        raise ValueError(
            f"model samples have shape {tuple(samples.shape)}; give (draws, *shape) or (chains, draws, *shape) "
            f"with shape {shape}"
        )
    chains = samples if extra == 2 else samples[:, None]
    zeros = torch.zeros(len(chains), dtype=torch.float64, device=samples.device)
    return ModelDraws(chains, zeros, float("nan"), float("nan"), float(len(chains)))
