"""The cost's maximum-likelihood loss, with log Z from the sampler's draws: L_cost of guided cost learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.pair import Pair
from lightning_irl.processes import gather, gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.gaussian import matched_log_prob
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of
from lightning_irl.views.losses import CostLoss, Found, Given

NEGATIVE_PHASES = ("importance", "mixture", "uniform")


class GuidedCost(CostLoss):
    """E_p[c/T] + log Z (section 2.3), with log Z estimated by the negative phase.

    Args:
        event: description of one sample.
        negative_phase: ``importance``, ``mixture`` or ``uniform``, as in :class:`~lightning_irl.views.ebm.EBM`.
        p_hat: for ``mixture``: ``current``, ``fitted``, or a factory of a sampler whose density is held fixed.

    Raises:
        ValueError: if an option is not allowed, p_hat has no density, or a Gaussian cannot be fitted to the samples.
    """

    def __init__(
        self,
        event: Event,
        negative_phase: Literal["importance", "mixture", "uniform"] = "importance",
        p_hat: Literal["current", "fitted"] | Callable[[Event], Sampler] = "current",
    ) -> None:
        super().__init__(event)
        if negative_phase not in NEGATIVE_PHASES:
            raise ValueError(f"negative_phase is {negative_phase!r}; allowed: {', '.join(NEGATIVE_PHASES)}")
        if isinstance(p_hat, str) and p_hat not in ("current", "fitted"):
            raise ValueError(f"p_hat is {p_hat!r}; allowed: current, fitted, or the class_path of a sampler")
        if p_hat == "fitted" and space_of(event).has_steps:
            raise ValueError(
                "p_hat is fitted, a Gaussian, but the samples are trajectories; use p_hat=current or the class_path "
                "of a sampler"
            )
        if p_hat == "fitted":
            space_of(event).require_continuous("p_hat=fitted, a Gaussian,")
        self.negative_phase = negative_phase
        if negative_phase == "mixture":
            self.scored_by = {"negative_phase=mixture": "set negative_phase=importance"}
        self.p_hat = p_hat if isinstance(p_hat, str) else p_hat(event).requires_grad_(False)
        if isinstance(self.p_hat, Sampler) and not self.p_hat.has_density:
            raise ValueError(f"p_hat {type(self.p_hat).__name__} has no density; use a sampler that has one")

    def check(self, pair: Pair) -> None:
        if self.negative_phase != "uniform":
            pair.require_density(f"negative_phase={self.negative_phase}", "negative_phase=uniform (EBM: or mcmc)")

    def departures(self) -> list[str]:
        if self.negative_phase != "uniform":
            return []
        return ["negative_phase is uniform: Kim and Bengio's gradient, biased unless the sampler is the model"]

    def forward(self, pair: Pair, given: Given) -> Found:
        demonstrations, samples, log_q, *_ = given
        demo_cost, sample_cost = pair.energies(demonstrations, samples)
        if log_q is None:
            return Found(objectives.uniform_cost_loss(*gather_each(demo_cost, sample_cost)), samples)
        if self.negative_phase != "mixture":
            demo_cost, sample_cost, log_q = gather_each(demo_cost, sample_cost, log_q)
        if self.negative_phase == "uniform":
            log_z = objectives.importance_log_z(sample_cost.detach(), log_q)
            return Found(objectives.uniform_cost_loss(demo_cost, sample_cost), samples, log_z)
        if self.negative_phase == "importance":
            log_z = objectives.importance_log_z(sample_cost, log_q)
        else:
            parts = (demo_cost, pair.log_q(demonstrations), sample_cost, log_q)
            demo_cost, demo_log_q, sample_cost, log_q = gather_each(*parts)
            demo_log_p, sample_log_p = self._log_p_hat(
                demonstrations, demo_cost.detach(), demo_log_q, samples, sample_cost.detach(), log_q
            )
            mixture = objectives.mixture_log_density
            log_z = objectives.mixture_log_z(
                demo_cost, sample_cost, mixture(demo_log_p, demo_log_q), mixture(sample_log_p, log_q)
            )
        return Found(objectives.maxent_cost_loss(demo_cost, log_z), samples, log_z.detach())

    def _log_p_hat(
        self,
        demonstrations: Any,
        demo_cost: Tensor,
        demo_log_q: Tensor,
        samples: Any,
        sample_cost: Tensor,
        log_q: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """log p_hat at the demonstrations (N,) and draws (M,) of all processes.

        Costs and log q are of all processes; samples are of this process.
        """
        if self.p_hat == "current":
            log_z = objectives.optimal_log_z(demo_cost, demo_log_q, sample_cost, log_q)
            return -demo_cost - log_z, -sample_cost - log_z
        if isinstance(self.p_hat, Sampler):
            with torch.no_grad():
                demo_log_p, sample_log_p = gather_each(
                    self.p_hat.log_prob(demonstrations), self.p_hat.log_prob(samples)
                )
            return demo_log_p, sample_log_p
        every = gather(demonstrations)
        log_p_hat = matched_log_prob(self.event, every)
        return log_p_hat(every), gather(log_p_hat(samples))
