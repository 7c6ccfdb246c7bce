"""The EBM view: the cost by maximum likelihood, with log Z estimated from the sampler's draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.event import Event
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.gaussian import matched_log_prob
from lightning_irl.views.view import View

NEGATIVE_PHASES = ("importance", "mixture", "uniform")


class EBM(View):
    r"""Maximum likelihood of p = exp(-c/T)/Z (section 2.2), which is guided cost learning (section 2.3).

    The cost descends E_p[c/T] + log Z, with log Z by the negative phase:

    - ``importance``: from draws of q alone, log E_q[exp(-c/T)/q];
    - ``mixture``: from demonstrations and draws, log E_mu[exp(-c/T) / (1/2 p_hat + 1/2 q)];
    - ``uniform``: every draw has the same weight (Kim and Bengio 2016), biased unless q is the model; needs no density.

    The sampler descends E_q[c/T] + E_q[log q].

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        negative_phase: ``importance``, ``mixture`` or ``uniform``.
        p_hat: rough density of the demonstrations for ``mixture``: ``current`` (the model itself, exp(-c/T)/Z at the
            discriminator's optimum; the GAN's gradient), ``fitted`` (a Gaussian with each batch's mean and covariance), or a
            factory of a sampler whose density is held fixed.
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if the negative phase or the sampler's loss needs a density that the sampler does not have.
    """

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        negative_phase: Literal["importance", "mixture", "uniform"] = "importance",
        p_hat: Literal["current", "fitted"] | Callable[[Event], Sampler] = "current",
        **options: Any,
    ) -> None:
        super().__init__(event, cost, sampler, **options)
        if negative_phase not in NEGATIVE_PHASES:
            raise ValueError(f"negative_phase is {negative_phase!r}; allowed: {', '.join(NEGATIVE_PHASES)}")
        if isinstance(p_hat, str) and p_hat not in ("current", "fitted"):
            raise ValueError(f"p_hat is {p_hat!r}; allowed: current, fitted, or the class_path of a sampler")
        name = type(self.sampler).__name__
        if not self.sampler.has_density and negative_phase != "uniform":
            raise ValueError(
                f"sampler {name} has no density; the EBM view needs one for negative_phase={negative_phase}: "
                "use negative_phase=uniform or a sampler with a density, such as FlowSampler"
            )
        if not self.sampler.has_density and self.entropy_weight:
            raise ValueError(
                f"sampler {name} has no density, so E_q[log q] is not known: "
                "set entropy_weight=0 (no longer the paper's objective) or use a sampler with a density"
            )
        self.negative_phase = negative_phase
        self.p_hat = p_hat if isinstance(p_hat, str) else p_hat(event).requires_grad_(False)
        if isinstance(self.p_hat, Sampler) and not self.p_hat.has_density:
            raise ValueError(f"p_hat {type(self.p_hat).__name__} has no density; use a sampler that has one")

    def departures(self) -> list[str]:
        found = super().departures()
        if self.negative_phase == "uniform":
            found.append("negative_phase is uniform: Kim and Bengio's gradient, biased unless the sampler is the model")
        return found

    def cost_loss(self, demonstrations: Tensor, samples: Tensor, log_q: Tensor | None) -> Tensor:
        demo_cost, sample_cost = self.energy(torch.cat([demonstrations, samples])).split(
            [len(demonstrations), len(samples)]
        )
        if log_q is not None and self.negative_phase == "importance":
            log_z = objectives.importance_log_z(sample_cost, log_q)
        elif log_q is not None and self.negative_phase == "mixture":
            log_mu = self._log_mu(demonstrations, demo_cost.detach(), samples, sample_cost.detach(), log_q)
            log_z = objectives.mixture_log_z(demo_cost, sample_cost, *log_mu)
        else:
            if log_q is not None:
                self.log_z.copy_(objectives.importance_log_z(sample_cost.detach(), log_q))
            return objectives.uniform_cost_loss(demo_cost, sample_cost)
        self.log_z.copy_(log_z.detach())
        return objectives.maxent_cost_loss(demo_cost, log_z)

    def _log_mu(
        self, demonstrations: Tensor, demo_cost: Tensor, samples: Tensor, sample_cost: Tensor, log_q: Tensor
    ) -> tuple[Tensor, Tensor]:
        """log of 1/2 p_hat + 1/2 q at demonstrations (N,) and at draws (M,)."""
        demo_log_q = self.log_density(demonstrations)
        if self.p_hat == "current":
            log_z = objectives.optimal_log_z(demo_cost, demo_log_q, sample_cost, log_q)
            demo_log_p, sample_log_p = -demo_cost - log_z, -sample_cost - log_z
        elif self.p_hat == "fitted":
            log_p_hat = matched_log_prob(self.event, demonstrations)
            demo_log_p, sample_log_p = log_p_hat(demonstrations), log_p_hat(samples)
        else:
            with torch.no_grad():
                demo_log_p, sample_log_p = self.p_hat.log_prob(demonstrations), self.p_hat.log_prob(samples)
        mixture = objectives.mixture_log_density
        return mixture(demo_log_p, demo_log_q), mixture(sample_log_p, log_q)

    def sampler_loss(self, demonstrations: Tensor) -> Tensor:
        loss = self.learner.loss(self.sampler, self.sampler_objective, self.draws(demonstrations))
        if self.likelihood_weight:
            loss = loss + self.likelihood_weight * self.likelihood_loss(demonstrations)
        return loss

    def sampler_objective(self, samples: Tensor, log_q: Tensor | None) -> Tensor:
        """c/T + log q of each draw (B,)."""
        energy = self.energy(samples)
        return energy if log_q is None else energy + self.entropy_weight * log_q
