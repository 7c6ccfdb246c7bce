"""The cost's loss by maximum likelihood, with log Z from the sampler's draws: L_cost of guided cost learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_irl import objectives
from lightning_irl.processes import gather, gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.gaussian import matched_log_prob
from lightning_irl.spaces.event import Event, require_continuous
from lightning_irl.spaces.samples import Samples

NEGATIVE_PHASES = ("importance", "mixture", "uniform")
LogDensity = Callable[[Samples], Tensor]


class GuidedCost(nn.Module):
    """E_p[c/T] + log Z (section 2.3), with log Z by the negative phase.

    Args:
        event: what one sample looks like.
        negative_phase: ``importance``, ``mixture`` or ``uniform``, as of :class:`~lightning_irl.views.ebm.EBM`.
        p_hat: for ``mixture``: ``current``, ``fitted``, or a factory of a sampler whose density is held fixed.

    Raises:
        ValueError: if an option is not allowed, p_hat has no density, or a Gaussian cannot be fitted to such samples.
    """

    def __init__(
        self,
        event: Event,
        negative_phase: Literal["importance", "mixture", "uniform"] = "importance",
        p_hat: Literal["current", "fitted"] | Callable[[Event], Sampler] = "current",
    ) -> None:
        super().__init__()
        if negative_phase not in NEGATIVE_PHASES:
            raise ValueError(f"negative_phase is {negative_phase!r}; allowed: {', '.join(NEGATIVE_PHASES)}")
        if isinstance(p_hat, str) and p_hat not in ("current", "fitted"):
            raise ValueError(f"p_hat is {p_hat!r}; allowed: current, fitted, or the class_path of a sampler")
        if p_hat == "fitted" and event["kind"] == "trajectory":
            raise ValueError(
                "p_hat is fitted, a Gaussian, but the samples are trajectories; use p_hat=current or the class_path "
                "of a sampler"
            )
        if p_hat == "fitted":
            require_continuous(event, "p_hat=fitted, a Gaussian,")
        self.event, self.negative_phase = event, negative_phase
        self.p_hat = p_hat if isinstance(p_hat, str) else p_hat(event).requires_grad_(False)
        if isinstance(self.p_hat, Sampler) and not self.p_hat.has_density:
            raise ValueError(f"p_hat {type(self.p_hat).__name__} has no density; use a sampler that has one")

    def departures(self) -> list[str]:
        """What in this loss is not the paper's, a line each."""
        if self.negative_phase != "uniform":
            return []
        return ["negative_phase is uniform: Kim and Bengio's gradient, biased unless the sampler is the model"]

    def forward(
        self,
        demonstrations: Samples,
        demo_cost: Tensor,
        samples: Samples,
        sample_cost: Tensor,
        log_q: Tensor | None,
        log_density: LogDensity,
    ) -> tuple[Tensor, Tensor | None]:
        """The loss and its log Z, over the samples of all processes.

        Args:
            demonstrations: N samples of p.
            demo_cost: c/T of them (N,).
            samples: M draws of q, constant.
            sample_cost: c/T of them (M,).
            log_q: of the draws (M,), constant; None without a density.
            log_density: log q of samples, held constant.

        Returns:
            A scalar in nats; and log Z (nats, constant) where there is a density, else None.
        """
        if log_q is None:
            return objectives.uniform_cost_loss(*gather_each(demo_cost, sample_cost)), None
        if self.negative_phase != "mixture":
            demo_cost, sample_cost, log_q = gather_each(demo_cost, sample_cost, log_q)
        if self.negative_phase == "uniform":
            log_z = objectives.importance_log_z(sample_cost.detach(), log_q)
            return objectives.uniform_cost_loss(demo_cost, sample_cost), log_z
        if self.negative_phase == "importance":
            log_z = objectives.importance_log_z(sample_cost, log_q)
        else:
            parts = (demo_cost, log_density(demonstrations), sample_cost, log_q)
            demo_cost, demo_log_q, sample_cost, log_q = gather_each(*parts)
            demo_log_p, sample_log_p = self._log_p_hat(
                demonstrations, demo_cost.detach(), demo_log_q, samples, sample_cost.detach(), log_q
            )
            mixture = objectives.mixture_log_density
            log_z = objectives.mixture_log_z(
                demo_cost, sample_cost, mixture(demo_log_p, demo_log_q), mixture(sample_log_p, log_q)
            )
        return objectives.maxent_cost_loss(demo_cost, log_z), log_z.detach()

    def _log_p_hat(
        self,
        demonstrations: Samples,
        demo_cost: Tensor,
        demo_log_q: Tensor,
        samples: Samples,
        sample_cost: Tensor,
        log_q: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """log p_hat at all processes' demonstrations and draws, whose costs and log q these are; the samples are this
        one's.
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
        assert isinstance(demonstrations, Tensor)
        assert isinstance(samples, Tensor)
        demonstrations = gather(demonstrations)
        log_p_hat = matched_log_prob(self.event, demonstrations)
        return log_p_hat(demonstrations), gather(log_p_hat(samples))
