"""Discriminator losses of the cost: demonstrations and draws are told apart by their cost."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.pair import Pair
from lightning_irl.processes import gather_each
from lightning_irl.spaces.event import Event
from lightning_irl.views.losses import CostLoss, Found, Given

LOG_Z_BY = ("optimal", "learned")


class Discriminator(CostLoss):
    """A loss of scores that should be high on demonstrations: -c/T, or the logit -c/T - log_z - log q.

    Attributes:
        departure: how it departs from the paper's objective; empty if it does not.
    """

    fixed_sampler = ", which is noise-contrastive estimation"
    departure: str = ""

    def departures(self) -> list[str]:
        return [self.departure] if self.departure else []

    @abc.abstractmethod
    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        """The loss, a scalar in nats, from the scores of demonstrations (N,) and of draws (M,)."""


class PlainDiscriminator(Discriminator):
    """The ordinary GAN's, logit D = -c/T (Goodfellow et al. 2014, arXiv 1406.2661)."""

    has_model = False
    departure = "discriminator is plain: an ordinary GAN, whose cost is no energy and has no log Z"

    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        return objectives.discriminator_loss(demo_scores, sample_scores)

    def forward(self, pair: Pair, given: Given) -> Found:
        demo_cost, sample_cost = gather_each(*pair.energies(given.demonstrations, given.samples))
        return Found(self.loss(-demo_cost, -sample_cost), given.samples)


class MarginDiscriminator(PlainDiscriminator):
    """EBGAN's hinge loss, without D: c/T is lowered on demonstrations and raised on draws up to ``margin``.

    Source: Zhao et al. 2016, arXiv 1609.03126.

    Args:
        event: what one sample looks like.
        margin: m, in nats.

    Raises:
        ValueError: if the margin is missing or not above 0.
    """

    departure = "discriminator is margin: EBGAN, a hinge on the cost of draws; the cost has no log Z"

    def __init__(self, event: Event, margin: float | None = None) -> None:
        super().__init__(event)
        if margin is None or margin <= 0:
            given = "not given" if margin is None else f"{margin}"
            raise ValueError(
                f"margin is {given}; discriminator=margin needs one above 0, in nats: the cost/temperature that draws "
                "are to have, such as half of what demonstrations have before training"
            )
        self.margin = margin

    def check(self, pair: Pair) -> None:
        if not pair.cost.is_nonnegative:
            raise ValueError(
                f"cost {type(pair.cost).__name__} is not known to be at least 0; without a bound discriminator=margin "
                "lowers the cost of demonstrations forever: use AutoencoderCost, or set is_nonnegative = True on a "
                "cost of yours that is"
            )

    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        return objectives.margin_discriminator_loss(-demo_scores, -sample_scores, self.margin)


class DensityDiscriminator(Discriminator):
    """The paper's (section 3.1), logit D = -c/T - log_z - log q.

    Args:
        event: what one sample looks like.
        log_z_by: ``optimal`` (solved for each batch) or ``learned`` (a parameter, initialised by the first batch).

    Raises:
        ValueError: if ``log_z_by`` is neither.
    """

    def __init__(self, event: Event, log_z_by: str = "optimal") -> None:
        super().__init__(event)
        instead = "set discriminator=plain, or objective=guided_cost with negative_phase=importance"
        self.scored_by = {"discriminator=density": instead}
        if log_z_by not in LOG_Z_BY:
            raise ValueError(f"log_z_by is {log_z_by!r}; allowed: {', '.join(LOG_Z_BY)}")
        self.learns_log_z = log_z_by == "learned"
        self.is_started = False  # whether a first batch has initialised a learned log_z

    def check(self, pair: Pair) -> None:
        pair.require_density("discriminator=density", "discriminator=plain")

    def departures(self) -> list[str]:
        if not self.learns_log_z:
            return []
        return ["log_z_by is learned: off its optimum the cost's gradient is not that of L_cost"]

    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        return objectives.discriminator_loss(demo_scores, sample_scores)

    def forward(self, pair: Pair, given: Given) -> Found:
        demo_cost, sample_cost = pair.energies(given.demonstrations, given.samples)
        log_q = pair.log_q(given.samples) if given.log_q is None else given.log_q
        parts = gather_each(demo_cost, pair.log_q(given.demonstrations), sample_cost, log_q)
        log_z = self.find_log_z(given.log_z, *(part.detach() for part in parts))
        demo_cost, demo_log_q, sample_cost, log_q = parts
        loss = self.loss(
            objectives.discriminator_logits(demo_cost, demo_log_q, log_z),
            objectives.discriminator_logits(sample_cost, log_q, log_z),
        )
        return Found(loss, given.samples, log_z.detach())

    def find_log_z(
        self, known: Tensor, demo_cost: Tensor, demo_log_q: Tensor, sample_cost: Tensor, sample_log_q: Tensor
    ) -> Tensor:
        """log_z of this batch, a scalar: solved, or the parameter ``known``, which the first batch initialises.

        Costs and log q are of all processes' demonstrations (N,) and draws (M,).
        """
        is_first, self.is_started = not self.is_started, True
        if self.learns_log_z and not is_first:
            return known
        solved = objectives.optimal_log_z(demo_cost, demo_log_q, sample_cost, sample_log_q)
        if not self.learns_log_z:
            return solved.to(known)
        with torch.no_grad():  # in place, since the optimizer holds this parameter
            known.copy_(known.where(torch.isfinite(known), solved))
        return known


DISCRIMINATORS = ("density", "plain", "margin")


def make_discriminator(
    event: Event, discriminator: str = "density", margin: float | None = None, log_z_by: str = "optimal"
) -> Discriminator:
    """Make a discriminator of the GAN and IRL views by name.

    Args:
        event: what one sample looks like.
        discriminator: ``density``, ``plain`` or ``margin``.
        margin: for ``margin``, in nats.
        log_z_by: for ``density``; the others have no log Z.

    Raises:
        ValueError: if an option is not allowed, or a margin is given that nothing uses.
    """
    for name, given, allowed in (("discriminator", discriminator, DISCRIMINATORS), ("log_z_by", log_z_by, LOG_Z_BY)):
        if given not in allowed:
            raise ValueError(f"{name} is {given!r}; allowed: {', '.join(allowed)}")
    if discriminator == "margin":
        return MarginDiscriminator(event, margin)
    if margin is not None:
        raise ValueError(f"margin is {margin}, but this discriminator has none: set discriminator=margin or remove it")
    return DensityDiscriminator(event, log_z_by) if discriminator == "density" else PlainDiscriminator(event)
