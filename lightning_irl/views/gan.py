"""The GAN view: the cost is the logit of a discriminator that knows the sampler's density."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.processes import gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.views.discriminators import DISCRIMINATORS, GENERATOR_LOSSES
from lightning_irl.views.view import View

LOG_Z_SPEED = 10.0  # learning rate of a learned log_z over the cost's


class GAN(View):
    r"""Generative adversarial training with the special discriminator (section 3.1).

    .. math:: \operatorname{logit} D = -c/T - \log Z - \log q

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        discriminator: ``density`` (the paper's), ``plain`` (logit D = -c/T, the ordinary GAN: no density, no log Z) or
            ``margin`` (EBGAN: the cost of draws is raised up to a margin; no D, no density, no log Z).
        margin: in nats of c/T, for ``margin``, which needs it.
        generator_loss: ``sum`` of both usual losses (the paper's), ``saturating`` or ``non_saturating``; with
            ``margin`` the sum alone, which is there the cost.
        log_z_by: ``optimal`` (solved for each batch) or ``learned`` (a parameter, started by one solved batch).
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if the discriminator needs what cost or sampler do not have, or an option is not allowed.
    """

    FIXED_SAMPLER = ", which is noise-contrastive estimation"

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        discriminator: Literal["density", "plain", "margin"] = "density",
        margin: float | None = None,
        generator_loss: Literal["sum", "saturating", "non_saturating"] = "sum",
        log_z_by: Literal["optimal", "learned"] = "optimal",
        **options: Any,
    ) -> None:
        super().__init__(event, cost, sampler, **options)
        allowed: dict[str, tuple[str, Sequence[str]]] = {
            "discriminator": (discriminator, tuple(DISCRIMINATORS)),
            "generator_loss": (generator_loss, tuple(GENERATOR_LOSSES)),
            "log_z_by": (log_z_by, ("optimal", "learned")),
        }
        for name, (given, values) in allowed.items():
            if given not in values:
                raise ValueError(f"{name} is {given!r}; allowed: {', '.join(values)}")
        self.discriminator = DISCRIMINATORS[discriminator](margin)
        self.discriminator.check(self.cost, self.sampler, self.entropy_weight)
        if generator_loss not in self.discriminator.generator_losses:
            known = ", ".join(self.discriminator.generator_losses)
            raise ValueError(
                f"generator_loss is {generator_loss}, but discriminator is {discriminator}; allowed there: {known}"
            )
        if self.learner.is_stepwise and generator_loss != "sum" and self.segment_length != 1:
            raise ValueError(
                f"generator_loss is {generator_loss}, which is no sum over steps, and learner "
                f"{type(self.learner).__name__} "
                "descends step by step: use generator_loss=sum, or level=transition"
            )
        self.generator_loss, self.log_z_by = generator_loss, log_z_by
        self._log_z_known = False
        if self.discriminator.is_dense and log_z_by == "learned":
            del self.log_z
            self.log_z = nn.Parameter(torch.tensor(torch.nan))

    @property
    def has_model(self) -> bool:
        return self.discriminator.is_dense and super().has_model

    def departures(self) -> list[str]:
        found = super().departures()
        if self.discriminator.departure:
            found.append(self.discriminator.departure)
        if self.generator_loss != "sum":
            found.append(f"generator_loss is {self.generator_loss}: one of the two losses whose sum the paper takes")
        if self.discriminator.is_dense and self.log_z_by == "learned":
            found.append("log_z_by is learned: off its optimum the cost's gradient is not that of L_cost")
        return found

    def scores(self, cost: Tensor, log_q: Tensor | None, log_z: Tensor) -> Tensor:
        """What the discriminator tells samples apart by, given their c/T (B,) and log q (B,); (B,), high on
        demonstrations.
        """
        if log_q is None or not self.discriminator.is_dense:
            return -cost
        return objectives.discriminator_logits(cost, log_q, log_z)

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        demo_cost, sample_cost = self.energies(demonstrations, samples)
        demo_log_q = None
        if log_q is None or not self.discriminator.is_dense:
            demo_cost, sample_cost = gather_each(demo_cost, sample_cost)
        else:
            parts = (demo_cost, self.log_density(demonstrations), sample_cost, log_q)
            demo_cost, demo_log_q, sample_cost, log_q = gather_each(*parts)
            self.find_log_z(demo_cost.detach(), demo_log_q, sample_cost.detach(), log_q)
        demo_scores = self.scores(demo_cost, demo_log_q, self.log_z)
        return self.discriminator.loss(demo_scores, self.scores(sample_cost, log_q, self.log_z))

    def find_log_z(self, demo_cost: Tensor, demo_log_q: Tensor, sample_cost: Tensor, sample_log_q: Tensor) -> None:
        """Solve for log_z: for every batch if ``optimal``, where it is not known yet if ``learned``."""
        is_first, self._log_z_known = not self._log_z_known, True
        if self.log_z_by == "learned" and not is_first:
            return
        solved = objectives.optimal_log_z(demo_cost, demo_log_q, sample_cost, sample_log_q)
        with torch.no_grad():
            is_kept = torch.isfinite(self.log_z) if self.log_z_by == "learned" else torch.zeros_like(solved).bool()
            self.log_z.copy_(self.log_z.where(is_kept, solved))

    def sampler_loss(self, demonstrations: Samples) -> Tensor:
        loss = self.learner.loss(self.sampler, self.generator_objective, self.draws(demonstrations))
        if self.likelihood_weight:
            loss = loss + self.likelihood_weight * self.likelihood_loss(demonstrations)
        return loss

    def generator_objective(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        """The generator's loss of each of its draws (B,)."""
        scores = self.scores(self.energy(samples), log_q, self.log_z.detach())
        values = GENERATOR_LOSSES[self.generator_loss](scores)
        return values if log_q is None else values + (self.entropy_weight - 1) * log_q

    def configure_cost_optimizer(self) -> Optimizer:
        optimizer = super().configure_cost_optimizer()
        if isinstance(self.log_z, nn.Parameter):
            speed = LOG_Z_SPEED * optimizer.defaults["lr"]
            optimizer.add_param_group({"params": [self.log_z], "lr": speed, "weight_decay": 0.0})
        return optimizer

    def step_objective(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        if self.generator_loss == "sum" and self.discriminator.is_dense:
            return super().step_objective(samples, log_q)  # without log_z, the same for every sample
        return self.generator_objective(samples, log_q)
