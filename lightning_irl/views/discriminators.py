"""The discriminators of the GAN view: each scores samples, high on demonstrations, and has a loss of these scores."""

from __future__ import annotations

import abc

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.samplers.base import Sampler

# The generator's loss of each of its draws (B,), given their scores.
GENERATOR_LOSSES = {
    "sum": torch.neg,
    "saturating": lambda scores: logsigmoid(-scores),
    "non_saturating": lambda scores: -logsigmoid(scores),
}


class Discriminator(abc.ABC):
    """How demonstrations and draws are told apart by their cost.

    A score is -c/T, and where :attr:`is_dense` the logit -c/T - log_z - log q.

    Args:
        margin: of :class:`MarginDiscriminator`; None for every other.

    Attributes:
        is_dense: whether scores hold the sampler's density, and with it log Z.
        generator_losses: names of the generator losses that its scores have.
        departure: what in it is not the paper's; empty where nothing is.

    Raises:
        ValueError: if there is a margin that nothing uses.
    """

    is_dense: bool = False
    generator_losses: tuple[str, ...] = tuple(GENERATOR_LOSSES)
    departure: str = ""

    def __init__(self, margin: float | None = None) -> None:
        if margin is not None:
            raise ValueError(
                f"margin is {margin}, but this discriminator has none: set discriminator=margin or remove it"
            )

    def check(self, cost: Cost, sampler: Sampler, entropy_weight: float) -> None:
        """Refuse a pair that this discriminator cannot train.

        Raises:
            ValueError: naming what does not fit and what to do.
        """
        if entropy_weight != 1:
            raise ValueError(
                f"entropy_weight is {entropy_weight}, but a {type(self).__name__} has no entropy term (plain and "
                "margin "
                "have none); remove it or set discriminator=density"
            )

    @abc.abstractmethod
    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        """Loss of the cost, a scalar in nats, given scores of demonstrations (N,) and of draws (M,)."""


class PlainDiscriminator(Discriminator):
    """The ordinary GAN's, logit D = -c/T (Goodfellow et al. 2014, arXiv 1406.2661)."""

    departure = "discriminator is plain: an ordinary GAN, whose cost is no energy and has no log Z"

    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        return objectives.discriminator_loss(demo_scores, sample_scores)


class DensityDiscriminator(PlainDiscriminator):
    """The paper's (section 3.1), logit D = -c/T - log_z - log q."""

    is_dense = True
    departure = ""

    def check(self, cost: Cost, sampler: Sampler, entropy_weight: float) -> None:
        if not sampler.has_density:
            raise ValueError(
                f"sampler {type(sampler).__name__} has no density; the GAN view needs one for its discriminator: "
                "use discriminator=plain or a sampler with a density, such as FlowSampler"
            )


class MarginDiscriminator(Discriminator):
    """EBGAN's, which has no D: c/T low on demonstrations, and on draws at least ``margin`` (Zhao et al. 2016, arXiv
    1609.03126).

    Args:
        margin: m, in nats.

    Raises:
        ValueError: if the margin is missing or not above 0.
    """

    generator_losses = ("sum",)
    departure = "discriminator is margin: EBGAN, a hinge on the cost of draws; the cost has no log Z"

    def __init__(self, margin: float | None = None) -> None:
        if margin is None or margin <= 0:
            given = "not given" if margin is None else f"{margin}"
            raise ValueError(
                f"margin is {given}; discriminator=margin needs one above 0, in nats: the cost/temperature that draws "
                "are to "
                "have, such as half of what demonstrations have before training"
            )
        self.margin = margin

    def check(self, cost: Cost, sampler: Sampler, entropy_weight: float) -> None:
        super().check(cost, sampler, entropy_weight)
        if not cost.is_nonnegative:
            raise ValueError(
                f"cost {type(cost).__name__} is not known to be at least 0; without a bound discriminator=margin "
                "lowers the cost of "
                "demonstrations for ever: use AutoencoderCost, or set is_nonnegative = True on a cost of yours that is"
            )

    def loss(self, demo_scores: Tensor, sample_scores: Tensor) -> Tensor:
        return objectives.margin_discriminator_loss(-demo_scores, -sample_scores, self.margin)


DISCRIMINATORS: dict[str, type[Discriminator]] = {
    "density": DensityDiscriminator,
    "plain": PlainDiscriminator,
    "margin": MarginDiscriminator,
}
