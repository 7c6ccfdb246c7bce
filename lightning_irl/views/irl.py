"""The IRL view: guided cost learning, in rounds whose draws cost and sampler share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from lightning_irl.costs.base import Cost
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.views.discriminators import make_discriminator
from lightning_irl.views.fusion import Fusion
from lightning_irl.views.guided_cost import GuidedCost
from lightning_irl.views.losses import CostLoss
from lightning_irl.views.rounds import PooledRounds
from lightning_irl.views.sampler_losses import GeneratorLoss
from lightning_irl.views.view import View

OBJECTIVES = ("discriminator", "guided_cost")


class IRL(View):
    r"""Sample-based maximum-entropy IRL (section 2.3); with trajectories as samples, guided cost learning.

    A batch is a round: the sampler draws once, the cost descends ``cost_steps`` times on parts of these draws and of
    the demonstrations, then the sampler descends E_q[c/T] + E_q[log q], with the same draws if its learner can use
    them.

    Args:
        event: description of one sample; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        objective: ``discriminator`` (the loss of the GAN view) or ``guided_cost`` (E_p[c/T] + log Z, the loss of the
            EBM view, with its negative phase).
        negative_phase: for ``guided_cost``: ``importance``, ``mixture`` or ``uniform``, as in the EBM view.
        p_hat: for ``mixture``, as in the EBM view.
        cost_batch: demonstrations and draws in each step of the cost, over all processes, at this view's level; all of
            them by default.
        keep_rounds: number of earlier rounds whose draws the cost still sees, under the mixture density of all kept
            samplers.
        discriminator: for ``discriminator``, as in the GAN view: ``density``, ``plain`` or ``margin``.
        margin: for ``margin``, in nats of c/T.
        generator_loss: for ``discriminator``, as in the GAN view.
        log_z_by: for ``discriminator``, as in the GAN view: ``optimal`` or ``learned``.
        **options: of :class:`~lightning_irl.views.view.View`; ``cost_steps`` counts steps within each round here.

    Raises:
        ValueError: if an option is not allowed or contradicts another, or a loss needs a density that the sampler does
            not have.
    """

    PRESET = ("cost_loss", "sampler_loss", "rounds")
    rounds: PooledRounds

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        objective: Literal["discriminator", "guided_cost"] = "discriminator",
        negative_phase: Literal["importance", "mixture", "uniform"] = "importance",
        p_hat: Literal["current", "fitted"] | Callable[[Event], Sampler] = "current",
        cost_batch: int | None = None,
        keep_rounds: int = 0,
        discriminator: Literal["density", "plain", "margin"] = "density",
        margin: float | None = None,
        generator_loss: Literal["sum", "saturating", "non_saturating"] = "sum",
        log_z_by: Literal["optimal", "learned"] = "optimal",
        **options: Any,
    ) -> None:
        if objective not in OBJECTIVES:
            raise ValueError(f"objective is {objective!r}; allowed: {', '.join(OBJECTIVES)}")
        cost_losses: dict[str, Callable[[Event], CostLoss]] = {
            "discriminator": partial(make_discriminator, discriminator=discriminator, margin=margin, log_z_by=log_z_by),
            "guided_cost": partial(GuidedCost, negative_phase=negative_phase, p_hat=p_hat),
        }
        super().__init__(
            event,
            cost,
            sampler,
            cost_loss=cost_losses[objective],
            sampler_loss=partial(GeneratorLoss, generator_loss=generator_loss, discriminator=discriminator),
            rounds=PooledRounds(cost_batch, keep_rounds),
            **options,
        )

    @property
    def fusion(self) -> Fusion:
        """Draws and samplers of earlier rounds."""
        return self.rounds.fusion
