"""The cost's maximum-likelihood loss, with negative samples from Markov chains that target the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.mcmc.chains import Chains
from lightning_irl.pair import Pair
from lightning_irl.processes import gather_each
from lightning_irl.spaces.event import Event
from lightning_irl.views.losses import CostLoss, Found, Given
from lightning_irl.views.modules import evaluating, frozen, trainable


class ChainLikelihood(CostLoss):
    """E_p[c/T] - E_chains[c/T], whose gradient is that of the negative log-likelihood once the chains have converged.

    The chains' start distinguishes contrastive divergence, persistent chains and cooperative learning
    (:class:`~lightning_irl.mcmc.Chains`).

    Args:
        event: what one sample looks like.
        chains: factory of the chains, called with the event.

    Raises:
        ValueError: if chains cannot run on such samples.
    """

    def __init__(self, event: Event, chains: Callable[[Event], Chains] = Chains) -> None:
        super().__init__(event)
        self.chains = chains(event)
        self.needs_draws = self.chains.needs_draws
        self.advice = {"chains": self.chains.advice}

    def check(self, pair: Pair) -> None:
        self.chains.target(pair.energy, pair.sampler)  # raises here if the chains could not run

    def departures(self) -> list[str]:
        start, steps = self.chains.start, self.chains.steps
        line = f"negative_phase is mcmc, from {start}: exact only once {steps} moves have forgotten their start"
        return [line, *self.chains.departures()]

    def forward(self, pair: Pair, given: Given) -> Found:
        demonstrations, draws, log_q, *_ = given
        ends, log_z = self.run(pair, given), None
        if log_q is not None and given.wants_log_z:  # for logging alone: the importance estimate from the draws
            with evaluating(pair.cost), torch.no_grad():
                log_z = objectives.importance_log_z(*gather_each(pair.energy(draws), log_q))
        demo_cost, end_cost = pair.energies(demonstrations, ends)
        self.chains.note(end_cost)
        return Found(
            objectives.uniform_cost_loss(*gather_each(demo_cost, end_cost)),
            ends,
            log_z,
            {"chains/acceptance": self.chains.acceptance, "chains/step_size": self.chains.step_size},
            {"chains": (end_cost, self.chains.energy_bound)},
        )

    def run(self, pair: Pair, given: Given) -> Tensor:
        """Run the chains and return their ends (M, *shape), constant.

        The cost is in eval mode, so that the target stays one fixed function.
        """
        with evaluating(pair.cost), frozen(trainable(pair.cost)):
            num_chains = len(given.samples) or given.num_samples
            return self.chains(pair.energy, pair.sampler, given.demonstrations, given.samples, num_chains)

    def state(self) -> dict[str, Any]:
        return {"chains": self.chains.state()}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        if "chains" in state:
            self.chains.restore(state["chains"], device)
