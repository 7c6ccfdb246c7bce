"""The EBM view: the cost by maximum likelihood, with log Z estimated from the sampler's draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from lightning_irl.costs.base import Cost
from lightning_irl.event import Event
from lightning_irl.samplers.base import Sampler
from lightning_irl.samples import Samples
from lightning_irl.views.guided_cost import GuidedCost
from lightning_irl.views.view import View


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
        self.guided_cost = GuidedCost(event, negative_phase, p_hat)
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

    def departures(self) -> list[str]:
        return super().departures() + self.guided_cost.departures()

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        return self.guided_cost_loss(self.guided_cost, demonstrations, samples, log_q)

    def sampler_loss(self, demonstrations: Samples) -> Tensor:
        loss = self.learner.loss(self.sampler, self.step_objective, self.draws(demonstrations))
        if self.likelihood_weight:
            loss = loss + self.likelihood_weight * self.likelihood_loss(demonstrations)
        return loss
