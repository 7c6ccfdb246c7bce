"""The EBM view: the cost learns by maximum likelihood, with log Z estimated from the sampler's draws."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from lightning_irl.costs.base import Cost
from lightning_irl.mcmc.chains import Chains
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.views.chain_likelihood import ChainLikelihood
from lightning_irl.views.guided_cost import NEGATIVE_PHASES, GuidedCost
from lightning_irl.views.losses import CostLoss
from lightning_irl.views.sampler_losses import NegativesLikelihood, ReverseKL
from lightning_irl.views.view import View


class EBM(View):
    r"""Maximum likelihood of p = exp(-c/T)/Z (section 2.2), which is guided cost learning (section 2.3).

    The cost descends E_p[c/T] + log Z, and the negative phase estimates log Z:

    - ``importance``: from draws of q alone, log E_q[exp(-c/T)/q];
    - ``mixture``: from demonstrations and draws, log E_mu[exp(-c/T) / (1/2 p_hat + 1/2 q)];
    - ``uniform``: every draw has the same weight (Kim and Bengio 2016), biased unless q is the model; needs no density;
    - ``mcmc``: from the ends of Markov chains that target the model; their start makes it contrastive divergence,
      persistent or cooperative (:class:`~lightning_irl.mcmc.Chains`); needs no density. The gradient is
      E_p[grad c/T] - E_chains[grad c/T].

    The sampler descends E_q[c/T] + E_q[log q], or learns from the chains by descending -E_chains[log q].

    Args:
        event: description of one sample.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        negative_phase: ``importance``, ``mixture``, ``uniform`` or ``mcmc``.
        p_hat: rough density of the demonstrations for ``mixture``: ``current`` (the model itself, exp(-c/T)/Z at the
            discriminator's optimum; this gives the GAN's gradient), ``fitted`` (a Gaussian with each batch's mean and
            covariance), or a factory of a sampler whose density is held fixed.
        chains: factory of the chains for ``mcmc``, called with the event.
        sampler_learns_from: ``cost`` (the paper's loss, through its own draws) or ``chains`` (maximum likelihood of
            their ends: cooperative learning).
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if the negative phase or the sampler's loss needs a density that the sampler does not have.
    """

    PRESET = ("cost_loss", "sampler_loss", "rounds")

    def __init__(
        self,
        event: Event,
        cost: Callable[[Event], Cost],
        sampler: Callable[[Event], Sampler],
        negative_phase: Literal["importance", "mixture", "uniform", "mcmc"] = "importance",
        p_hat: Literal["current", "fitted"] | Callable[[Event], Sampler] = "current",
        chains: Callable[[Event], Chains] = Chains,
        sampler_learns_from: Literal["cost", "chains"] = "cost",
        **options: Any,
    ) -> None:
        phases = (*NEGATIVE_PHASES, "mcmc")
        if negative_phase not in phases:
            raise ValueError(f"negative_phase is {negative_phase!r}; allowed: {', '.join(phases)}")
        if sampler_learns_from not in ("cost", "chains"):
            raise ValueError(f"sampler_learns_from is {sampler_learns_from!r}; allowed: cost, chains")
        if sampler_learns_from == "chains" and negative_phase != "mcmc":
            raise ValueError(
                "sampler_learns_from is chains: it needs negative_phase=mcmc, and a sampler with a density, such as "
                "FlowSampler"
            )
        cost_loss: Callable[[Event], CostLoss] = partial(ChainLikelihood, chains=chains)
        if negative_phase != "mcmc":
            cost_loss = partial(GuidedCost, negative_phase=negative_phase, p_hat=p_hat)
        super().__init__(
            event,
            cost,
            sampler,
            cost_loss=cost_loss,
            sampler_loss=ReverseKL if sampler_learns_from == "cost" else NegativesLikelihood,
            rounds=None,
            **options,
        )
        if sampler_learns_from == "chains" and self.sampler_steps and not self.cost_steps:
            raise ValueError(
                "sampler_learns_from is chains, but cost_steps is 0, and chains run in the cost's step; raise "
                "cost_steps, or set sampler_learns_from=cost"
            )

    @property
    def chains(self) -> Chains | None:
        """The chains of ``mcmc``; None for any other negative phase."""
        return getattr(self.cost_objective, "chains", None)

    @property
    def guided_cost(self) -> GuidedCost | None:
        """The negative phase that uses draws of the sampler; None for ``mcmc``."""
        return self.cost_objective if isinstance(self.cost_objective, GuidedCost) else None

    @property
    def ends(self) -> Samples | None:
        """Where the chains of the last step ended (M, *shape)."""
        return self.raised
