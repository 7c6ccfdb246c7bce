"""The GAN view: the cost is the logit of a discriminator that knows the sampler's density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.optim import Optimizer

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.event import Event
from lightning_irl.samplers.base import Sampler
from lightning_irl.samples import Samples
from lightning_irl.views.view import View

LOG_Z_SPEED = 10.0  # learning rate of a learned log_z over the cost's


class GAN(View):
    r"""Generative adversarial training with the special discriminator (section 3.1).

    .. math:: \operatorname{logit} D = -c/T - \log Z - \log q

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        discriminator: ``density`` (the paper's) or ``plain`` (logit D = -c/T, the ordinary GAN: no density, no log Z).
        generator_loss: ``sum`` of both usual losses (the paper's), ``saturating`` or ``non_saturating``.
        log_z_by: ``optimal`` (solved for each batch) or ``learned`` (a parameter, started by one solved batch).
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if the discriminator needs a density that the sampler does not have, or an option is not allowed.
    """

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        discriminator: Literal["density", "plain"] = "density",
        generator_loss: Literal["sum", "saturating", "non_saturating"] = "sum",
        log_z_by: Literal["optimal", "learned"] = "optimal",
        **options: Any,
    ) -> None:
        super().__init__(event, cost, sampler, **options)
        allowed = {
            "discriminator": (discriminator, ("density", "plain")),
            "generator_loss": (generator_loss, ("sum", "saturating", "non_saturating")),
            "log_z_by": (log_z_by, ("optimal", "learned")),
        }
        for name, (given, values) in allowed.items():
            if given not in values:
                raise ValueError(f"{name} is {given!r}; allowed: {', '.join(values)}")
        if discriminator == "density" and not self.sampler.has_density:
            raise ValueError(
                f"sampler {type(self.sampler).__name__} has no density; the GAN view needs one for its discriminator: "
                "use discriminator=plain or a sampler with a density, such as FlowSampler"
            )
        if discriminator == "plain" and self.entropy_weight != 1:
            raise ValueError(f"entropy_weight is {self.entropy_weight}, but a plain discriminator has no entropy term")
        if self.learner.is_stepwise and generator_loss != "sum" and self.segment_length != 1:
            raise ValueError(
                f"generator_loss is {generator_loss}, which is no sum over steps, and learner {type(self.learner).__name__} "
                "descends step by step: use generator_loss=sum, or level=transition"
            )
        self.is_dense, self.generator_loss, self.log_z_by = discriminator == "density", generator_loss, log_z_by
        self._log_z_known = False
        if self.is_dense and log_z_by == "learned":
            del self.log_z
            self.log_z = nn.Parameter(torch.tensor(torch.nan))

    @property
    def has_model(self) -> bool:
        return self.is_dense and super().has_model

    def departures(self) -> list[str]:
        found = super().departures()
        if not self.is_dense:
            found.append("discriminator is plain: an ordinary GAN, whose cost is no energy and has no log Z")
        if self.generator_loss != "sum":
            found.append(f"generator_loss is {self.generator_loss}: one of the two losses whose sum the paper takes")
        if self.is_dense and self.log_z_by == "learned":
            found.append("log_z_by is learned: off its optimum the cost's gradient is not that of L_cost")
        return found

    def logits(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        """logit D of samples (B, *shape) with their log q (B,), log_z held constant; (B,), high on demonstrations."""
        if log_q is None or not self.is_dense:
            return -self.energy(samples)
        return objectives.discriminator_logits(self.energy(samples), log_q, self.log_z.detach())

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        demo_cost, sample_cost = self.energies(demonstrations, samples)
        if log_q is None or not self.is_dense:
            return objectives.discriminator_loss(-demo_cost, -sample_cost)
        demo_log_q = self.log_density(demonstrations)
        self.find_log_z(demo_cost.detach(), demo_log_q, sample_cost.detach(), log_q)
        demo_logits = objectives.discriminator_logits(demo_cost, demo_log_q, self.log_z)
        sample_logits = objectives.discriminator_logits(sample_cost, log_q, self.log_z)
        return objectives.discriminator_loss(demo_logits, sample_logits)

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
        logits = self.logits(samples, log_q)
        values = {
            "sum": lambda: -logits,
            "saturating": lambda: logsigmoid(-logits),
            "non_saturating": lambda: -logsigmoid(logits),
        }[self.generator_loss]()
        return values if log_q is None else values + (self.entropy_weight - 1) * log_q

    def configure_cost_optimizer(self) -> Optimizer:
        optimizer = super().configure_cost_optimizer()
        if isinstance(self.log_z, nn.Parameter):
            speed = LOG_Z_SPEED * optimizer.defaults["lr"]
            optimizer.add_param_group({"params": [self.log_z], "lr": speed, "weight_decay": 0.0})
        return optimizer

    def step_objective(self, samples: Samples, log_q: Tensor | None) -> Tensor:
        if self.generator_loss == "sum" and self.is_dense:
            return super().step_objective(samples, log_q)  # without log_z, the same for every sample
        return self.generator_objective(samples, log_q)
