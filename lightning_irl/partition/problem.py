"""What estimators of log Z are given, and what they share."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.partition.annealed import AnnealedRun
from lightning_irl.partition.bridge import model_log_ratios
from lightning_irl.partition.budget import Budget
from lightning_irl.partition.draws import ModelDraws, continue_chains
from lightning_irl.partition.importance import importance_log_weights
from lightning_irl.partition.path import require_density
from lightning_irl.processes import gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, pieces


class Sides(NamedTuple):
    """Values at demonstrations (N,) and at draws of q (M,), float64, in nats.

    Attributes:
        demo_cost: c/T of demonstrations.
        demo_log_q: log q of demonstrations.
        sample_cost: c/T of draws.
        sample_log_q: log q of draws.
    """

    demo_cost: Tensor
    demo_log_q: Tensor
    sample_cost: Tensor
    sample_log_q: Tensor


class Problem:
    """One log Z to estimate. What several estimators use is made once, when it is first asked for.

    Args:
        cost: an :class:`~lightning_irl.costs.Energy`, or samples (B, *shape) -> (B,), already divided by the
            temperature, in nats.
        sampler: q, with a density.
        event: default the sampler's.
        demonstrations: N samples; None if there are none.
        budget: of what is made here.

    Attributes:
        energy: c/T.
        runs: forward annealed runs, by the name of the method that made them.

    Raises:
        ValueError: if the sampler has no density.
    """

    def __init__(
        self,
        cost: CostFunction,
        sampler: Sampler,
        event: Event | None = None,
        demonstrations: Samples | None = None,
        budget: Budget | None = None,
    ) -> None:
        require_density(sampler)
        self.energy, self.sampler = as_energy(cost), sampler
        self.event = sampler.event if event is None else event
        self.demonstrations, self.budget = demonstrations, budget or Budget()
        self.runs: dict[str, AnnealedRun] = {}

    @cached_property
    def log_weights(self) -> Tensor:
        """Log weights -c - log q (N,) of draws of q, those of all processes; float64, in nats."""
        return importance_log_weights(self.energy, self.sampler, self.budget.num_samples, self.budget.batch_size)

    @cached_property
    def trusted_run(self) -> AnnealedRun:
        """The first annealed run whose estimate is reliable; the first one, if none is."""
        runs = self.runs.values()
        return next((run for run in runs if run.estimate.reliable), next(iter(runs)))

    @cached_property
    def model_draws(self) -> ModelDraws:
        """Draws of the model, those of this process, by chains that go on where :attr:`trusted_run` ended."""
        return continue_chains(self.trusted_run, self.budget.draws_per_chain, self.budget.leapfrog_steps)

    @cached_property
    def at_model(self) -> tuple[Tensor, ModelDraws]:
        """-c - log q (C, T) at the model draws of all processes, float64, in nats; and the draws with the weights (C,)
        of all processes' chains.
        """
        return model_log_ratios(self.energy, self.sampler, self.model_draws, self.budget.batch_size)

    @cached_property
    @torch.no_grad()
    def sides(self) -> Sides:
        """Cost and log q of demonstrations and of as many draws of q as the budget has.

        Raises:
            ValueError: if there are no demonstrations.
        """
        if self.demonstrations is None:
            raise ValueError("there are no demonstrations; set needs_demonstrations in the estimator that uses them")
        batch_size = self.budget.batch_size
        samples, sample_log_q = self.sampler.sample(self.budget.num_samples)
        demo_cost = self.energy.in_pieces(self.demonstrations, batch_size)
        parts = pieces(self.demonstrations, batch_size)
        demo_log_q = torch.cat([self.sampler.log_prob(part).double() for part in parts])
        sample_cost = self.energy.in_pieces(samples, batch_size)
        assert sample_log_q is not None
        return Sides(demo_cost, demo_log_q, *gather_each(sample_cost, sample_log_q.double()))
