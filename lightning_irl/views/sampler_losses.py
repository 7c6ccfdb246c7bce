"""Losses of the sampler: the paper's L_sampler, generator losses, or the likelihood of the negative samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_irl import objectives
from lightning_irl.learners.base import Learner, Objective
from lightning_irl.pair import Pair
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.views.losses import Given, SamplerLoss, likelihood_loss

# Generator losses of single draws (B,), from their scores.
GENERATOR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": torch.neg,
    "saturating": lambda scores: logsigmoid(-scores),
    "non_saturating": lambda scores: -logsigmoid(scores),
}


class ReverseKL(SamplerLoss):
    """L_sampler = E_q[c/T] + E_q[log q] (section 2.3), which is KL(q || p_theta) - log Z."""

    def check(self, pair: Pair, learner: Learner, descends: bool) -> None:
        if not pair.sampler.has_density and self.entropy_weight and descends:
            raise ValueError(
                f"sampler {type(pair.sampler).__name__} has no density, so E_q[log q] is not known: set "
                "entropy_weight=0 (no longer the paper's objective) or use a sampler with a density"
            )

    def objective(self, pair: Pair, log_z: Tensor) -> Objective:
        def values(samples: Samples, log_q: Tensor | None) -> Tensor:
            energy = pair.energy(samples)
            return energy if log_q is None else energy + self.entropy_weight * log_q

        return values


class GeneratorLoss(ReverseKL):
    """A GAN's generator loss, of its discriminator's scores (section 2.1).

    With ``sum`` and scores that contain the density, it is log_z + L_sampler (section 3.2, fact 3).

    Args:
        event: description of one sample.
        generator_loss: ``sum`` of both usual losses (the paper's), ``saturating`` or ``non_saturating``.
        discriminator: whose scores: ``density`` (the logit -c/T - log_z - log q), ``plain`` or ``margin`` (-c/T).

    Raises:
        ValueError: if the loss is unknown, or not available for the discriminator.
    """

    def __init__(self, event: Event, generator_loss: str = "sum", discriminator: str = "density") -> None:
        super().__init__(event)
        allowed = ("sum",) if discriminator == "margin" else tuple(GENERATOR_LOSSES)
        if generator_loss not in GENERATOR_LOSSES:
            raise ValueError(f"generator_loss is {generator_loss!r}; allowed: {', '.join(GENERATOR_LOSSES)}")
        if generator_loss not in allowed:
            raise ValueError(
                f"generator_loss is {generator_loss}, but discriminator is {discriminator}; allowed there: "
                f"{', '.join(allowed)}"
            )
        self.generator_loss, self.discriminator = generator_loss, discriminator

    @property
    def scores_density(self) -> bool:
        """Whether scores contain the sampler's density, and with it log Z."""
        return self.discriminator == "density"

    def check(self, pair: Pair, learner: Learner, descends: bool) -> None:
        if self.scores_density:
            super().check(pair, learner, descends)
        elif self.entropy_weight != 1:
            raise ValueError(
                f"entropy_weight is {self.entropy_weight}, but discriminator={self.discriminator} has no entropy "
                "term: remove it or set discriminator=density"
            )
        if learner.is_stepwise and self.generator_loss != "sum" and pair.segment_length != 1:
            raise ValueError(
                f"generator_loss is {self.generator_loss}, which is no sum over steps, and learner "
                f"{type(learner).__name__} descends step by step: use generator_loss=sum, or level=transition"
            )

    def departures(self) -> list[str]:
        if self.generator_loss == "sum":
            return []
        return [f"generator_loss is {self.generator_loss}: one of the two losses whose sum the paper takes"]

    def objective(self, pair: Pair, log_z: Tensor) -> Objective:
        loss = GENERATOR_LOSSES[self.generator_loss]
        if self.generator_loss == "sum":  # log_z only adds a constant, so 0 will do while it is unknown
            log_z = torch.where(log_z.isnan(), 0.0, log_z)

        def values(samples: Samples, log_q: Tensor | None) -> Tensor:
            energy = pair.energy(samples)
            if log_q is None or not self.scores_density:
                found = loss(-energy)
            else:
                found = loss(objectives.discriminator_logits(energy, log_q, log_z))
            return found if log_q is None else found + (self.entropy_weight - 1) * log_q

        return values

    def step_objective(self, pair: Pair, log_z: Tensor) -> Objective:
        if self.generator_loss == "sum" and self.scores_density:
            return super().objective(pair, log_z)  # without log_z, a constant for every step
        return self.objective(pair, log_z)


class NegativesLikelihood(ReverseKL):
    """-E[log q] over the samples whose cost was raised last: the sampler learns from chains (cooperative learning).

    Source: Xie and others, "Cooperative training of descriptor and generator networks" (2018), arXiv 1609.09408.
    """

    def check(self, pair: Pair, learner: Learner, descends: bool) -> None:
        if not pair.sampler.has_density:
            raise ValueError(
                "sampler_learns_from is chains: it needs negative_phase=mcmc, and a sampler with a density, such as "
                "FlowSampler"
            )

    def departures(self) -> list[str]:
        return ["sampler_learns_from is chains: cooperative learning in place of L_sampler"]

    def __call__(self, pair: Pair, learner: Learner, given: Given) -> Tensor:
        return likelihood_loss(pair, given.samples)
