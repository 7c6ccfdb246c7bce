"""The EBM view: the cost by maximum likelihood, with log Z estimated from the sampler's draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.mcmc.chains import Chains
from lightning_irl.processes import gather_each
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples
from lightning_irl.views.guided_cost import NEGATIVE_PHASES, GuidedCost
from lightning_irl.views.view import View, evaluating, frozen, trainable


class EBM(View):
    r"""Maximum likelihood of p = exp(-c/T)/Z (section 2.2), which is guided cost learning (section 2.3).

    The cost descends E_p[c/T] + log Z, with log Z by the negative phase:

    - ``importance``: from draws of q alone, log E_q[exp(-c/T)/q];
    - ``mixture``: from demonstrations and draws, log E_mu[exp(-c/T) / (1/2 p_hat + 1/2 q)];
    - ``uniform``: every draw has the same weight (Kim and Bengio 2016), biased unless q is the model; needs no density;
    - ``mcmc``: from ends of Markov chains at the model, whose start says what it is (contrastive divergence,
      persistent, cooperative: :class:`~lightning_irl.mcmc.Chains`); needs no density. The gradient is E_p[grad c/T] -
      E_chains[grad c/T].

    The sampler descends E_q[c/T] + E_q[log q]; or it is taught by the chains, descending -E_chains[log q].

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        negative_phase: ``importance``, ``mixture``, ``uniform`` or ``mcmc``.
        p_hat: rough density of the demonstrations for ``mixture``: ``current`` (the model itself, exp(-c/T)/Z at the
            discriminator's optimum; the GAN's gradient), ``fitted`` (a Gaussian with each batch's mean and covariance),
            or a factory of a sampler whose density is held fixed.
        chains: factory of the chains of ``mcmc``, called with the event.
        sampler_learns_from: ``cost`` (the paper's loss, through its own draws) or ``chains`` (maximum likelihood of
            where they end: cooperative learning).
        **options: of :class:`~lightning_irl.views.view.View`.

    Raises:
        ValueError: if the negative phase or the sampler's loss needs a density that the sampler does not have.
    """

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
        super().__init__(event, cost, sampler, **options)
        phases = (*NEGATIVE_PHASES, "mcmc")
        if negative_phase not in phases:
            raise ValueError(f"negative_phase is {negative_phase!r}; allowed: {', '.join(phases)}")
        self.guided_cost = GuidedCost(event, "uniform" if negative_phase == "mcmc" else negative_phase, p_hat)
        self.chains = chains(event) if negative_phase == "mcmc" else None
        if self.chains is not None:
            self.chains.target(self.energy, self.sampler)  # raises here what could not run
            self.finite.add("chains", self.chains.advice)
        if sampler_learns_from not in ("cost", "chains"):
            raise ValueError(f"sampler_learns_from is {sampler_learns_from!r}; allowed: cost, chains")
        if sampler_learns_from == "chains" and not (self.chains and self.sampler.has_density):
            raise ValueError(
                "sampler_learns_from is chains: it needs negative_phase=mcmc, and a sampler with a density, such as "
                "FlowSampler"
            )
        if sampler_learns_from == "chains" and self.sampler_steps and not self.cost_steps:
            raise ValueError(
                "sampler_learns_from is chains, but cost_steps is 0, and chains run in the cost's step; raise "
                "cost_steps, or set "
                "sampler_learns_from=cost"
            )
        self.sampler_learns_from = sampler_learns_from
        name = type(self.sampler).__name__
        if not self.sampler.has_density and negative_phase not in ("uniform", "mcmc"):
            raise ValueError(
                f"sampler {name} has no density; the EBM view needs one for negative_phase={negative_phase}: "
                "use negative_phase=uniform or mcmc, or a sampler with a density, such as FlowSampler"
            )
        if not self.sampler.has_density and self.entropy_weight and self.sampler_steps:
            raise ValueError(
                f"sampler {name} has no density, so E_q[log q] is not known: "
                "set entropy_weight=0 (no longer the paper's objective) or use a sampler with a density"
            )

    def departures(self) -> list[str]:
        found = super().departures()
        if self.chains is None:
            return found + self.guided_cost.departures()
        found.append(
            f"negative_phase is mcmc, from {self.chains.start}: exact only once {self.chains.steps} moves have "
            "forgotten their start"
        )
        if self.sampler_learns_from == "chains":
            found.append("sampler_learns_from is chains: cooperative learning in place of L_sampler")
        return found + self.chains.departures()

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        if self.chains is None:
            return self.guided_cost_loss(self.guided_cost, demonstrations, samples, log_q)
        assert isinstance(demonstrations, Tensor)
        assert isinstance(samples, Tensor)
        num_chains = len(samples) or self.draws(demonstrations)
        self.ends = self.run_chains(self.chains, demonstrations, samples, log_q, num_chains)
        demo_cost, end_cost = self.energies(demonstrations, self.ends)
        self.chains.note(end_cost)
        self.finite.watch("chains", end_cost, self._batch, bound=self.chains.energy_bound)
        self.record("chains/acceptance", self.chains.acceptance)
        self.record("chains/step_size", self.chains.step_size)
        return objectives.uniform_cost_loss(*gather_each(demo_cost, end_cost))

    def negatives(self, samples: Samples) -> Samples:
        return samples if self.chains is None else self.ends

    def train_pair(self, demonstrations: Samples) -> None:
        if self.chains is None or self.chains.needs_draws or self.sampler_steps or not self.cost_steps:
            super().train_pair(demonstrations)
            return
        # No draw trains anything: they are made where log Z is estimated, by random numbers that training does not see.
        assert isinstance(demonstrations, Tensor)
        draws, log_q = demonstrations[:0], None
        if self._estimates_log_z:
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                draws, log_q = self.sampler.sample(self.draws(demonstrations))
            self.finite.watch_draws(draws, self._batch)
        self.descend_cost(demonstrations, draws, log_q)

    @property
    def _estimates_log_z(self) -> bool:
        return self.is_logged or self._batch == self.warm_start

    def run_chains(
        self, chains: Chains, demonstrations: Tensor, draws: Tensor, log_q: Tensor | None, num_chains: int
    ) -> Tensor:
        """Ends (M, *shape) of chains at the model, in eval mode and held constant, so that what they target is one
        function.

        ``log_z`` becomes the draws' importance estimate, at the start and at the logging interval: no step needs it
        here.
        """
        with evaluating(self.cost):
            with frozen(trainable(self.cost)):
                ends: Tensor = chains(self.energy, self.sampler, demonstrations, draws, num_chains)
            if log_q is not None and self._estimates_log_z:
                with torch.no_grad():
                    self.log_z.copy_(objectives.importance_log_z(*gather_each(self.energy(draws), log_q)))
        return ends

    def sampler_loss(self, demonstrations: Samples) -> Tensor:
        if self.sampler_learns_from == "chains":
            loss = self.likelihood_loss(self.ends)
        else:
            loss = self.learner.loss(self.sampler, self.step_objective, self.draws(demonstrations))
        if self.likelihood_weight:
            loss = loss + self.likelihood_weight * self.likelihood_loss(demonstrations)
        return loss

    def process_state(self) -> dict[str, Any]:
        kept = {} if self.chains is None else {"chains": self.chains.state()}
        return super().process_state() | kept

    def restore_process(self, state: dict[str, Any]) -> None:
        super().restore_process(state)
        if self.chains is not None and "chains" in state:
            self.chains.restore(state["chains"], self.device)
