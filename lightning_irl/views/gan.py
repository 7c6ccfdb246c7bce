"""The GAN view: the cost is part of the logit of a discriminator that knows the sampler's density."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from lightning_irl.costs.base import Cost
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.views.discriminators import Discriminator, make_discriminator
from lightning_irl.views.sampler_losses import GeneratorLoss
from lightning_irl.views.view import View


class GAN(View):
    r"""Generative adversarial training with the special discriminator (section 3.1).

    .. math:: \operatorname{logit} D = -c/T - \log Z - \log q

    Args:
        event: description of one sample; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        discriminator: ``density`` (the paper's), ``plain`` (logit D = -c/T, the ordinary GAN: no density, no log Z) or
            ``margin`` (EBGAN: the cost of draws is raised up to a margin; no D, no density, no log Z).
        margin: for ``margin``, which requires it; in nats of c/T.
        generator_loss: ``sum`` of both usual losses (the paper's), ``saturating`` or ``non_saturating``; ``margin``
            takes only the sum, which there is the cost.
        log_z_by: ``optimal`` (solved for each batch) or ``learned`` (a parameter, initialised by the first batch).
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if cost or sampler lack what the discriminator needs, or an option is not allowed.
    """

    PRESET = ("cost_loss", "sampler_loss", "rounds")
    cost_objective: Discriminator

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
        super().__init__(
            event,
            cost,
            sampler,
            cost_loss=partial(make_discriminator, discriminator=discriminator, margin=margin, log_z_by=log_z_by),
            sampler_loss=partial(GeneratorLoss, generator_loss=generator_loss, discriminator=discriminator),
            rounds=None,
            **options,
        )

    @property
    def discriminator(self) -> Discriminator:
        """How demonstrations and draws are told apart."""
        return self.cost_objective
