"""The estimators of a report, one class each."""

from __future__ import annotations

import torch

from lightning_irl.objectives import mixture_log_density
from lightning_irl.partition.annealed import annealed_run
from lightning_irl.partition.bridge import bridge_log_ratios
from lightning_irl.partition.budget import Budget
from lightning_irl.partition.estimate import PartitionEstimate
from lightning_irl.partition.estimator import Estimator
from lightning_irl.partition.importance import summarise_importance
from lightning_irl.partition.problem import Problem
from lightning_irl.partition.quadrature import quadrature
from lightning_irl.partition.training import discriminator, mixture
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of


class Quadrature(Estimator):
    """A grid over one or two coordinates, or the sum over all states (:func:`~lightning_irl.partition.quadrature`)."""

    name = "quadrature"
    is_exact = True
    looks_beyond_sampler = True

    def unsuited(self, event: Event) -> str:
        space = space_of(event)
        if space.has_steps:
            return f"it does not apply to {space.words}"
        return "" if space.is_grid_sized else "samples have more than two coordinates, or more than 2^20 states"

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        return quadrature(problem.energy, problem.event, batch_size=budget.batch_size)


class ByChains(Estimator):
    """An estimator that moves chains along the gradient of the cost in its samples."""

    def unsuited(self, event: Event) -> str:
        space = space_of(event)
        return "" if space.takes_chains else f"it does not apply to {space.words}"


class Annealed(ByChains):
    """Annealed importance sampling from the sampler (:func:`~lightning_irl.partition.annealed`)."""

    name = "annealed"
    is_unbiased = True

    def start(self, problem: Problem, budget: Budget) -> Sampler:
        """Where chains start."""
        return problem.sampler

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        run = problem.runs[self.name] = annealed_run(
            problem.energy,
            self.start(problem, budget),
            problem.event,
            budget.num_chains,
            budget.num_temperatures,
            budget.leapfrog_steps,
            name=self.name,
        )
        return run.estimate


class AnnealedBroad(Annealed):
    """The same from a broad start, which knows nothing of the sampler."""

    name = "annealed_broad"
    looks_beyond_sampler = True

    def start(self, problem: Problem, budget: Budget) -> Sampler:
        with torch.inference_mode(False):  # a buffer made in inference mode could not be differentiated through
            return BroadSampler(problem.event, width=budget.broad_width).to(problem.log_weights.device)


class AnnealedReverse(ByChains):
    """Back along the schedule of ``annealed``, from the last draws of chains at the model."""

    name = "annealed_reverse"
    follows = ("annealed",)
    why_it_follows = "it goes back from where annealed went"

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        draws = problem.model_draws
        return annealed_run(
            problem.energy,
            problem.sampler,
            problem.event,
            len(draws.log_weights),
            leapfrog_steps=budget.leapfrog_steps,
            direction="reverse",
            model_samples=draws.samples[:, -1],
            model_log_weights=draws.log_weights,
            model_samples_are="chains",
            schedule=problem.runs["annealed"].schedule,
        ).estimate


class Bridge(ByChains):
    """Bennett's acceptance ratio between the sampler and chains at the model (:func:`~lightning_irl.partition.bridge`).

    The chains go on where ``annealed_broad`` ended, or ``annealed`` if that one failed.
    """

    name = "bridge"
    follows = ("annealed", "annealed_broad")
    why_it_follows = "no draws of the model are made"

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        return bridge_log_ratios(problem.log_weights, *problem.at_model)


class Importance(Estimator):
    """Importance sampling from the sampler (:func:`~lightning_irl.partition.importance`)."""

    name = "importance"
    is_unbiased = True

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        return summarise_importance(problem.log_weights)


class Discriminator(Estimator):
    """log_z at the discriminator's optimum (:func:`~lightning_irl.partition.discriminator`)."""

    name = "discriminator"
    certifies = False
    needs_demonstrations = True

    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        return discriminator(*problem.sides)


class Mixture(Estimator):
    """Guided cost learning's log Z, with the model at the discriminator's optimum as p_hat
    (:func:`~lightning_irl.partition.mixture`).
    """

    name = "mixture"
    certifies = False
    needs_demonstrations = True

    @torch.no_grad()
    def estimate(self, problem: Problem, budget: Budget) -> PartitionEstimate:
        demo_cost, demo_log_q, sample_cost, sample_log_q = problem.sides
        log_z = discriminator(*problem.sides).log_z
        demo_log_mu = mixture_log_density(-demo_cost - log_z, demo_log_q)
        sample_log_mu = mixture_log_density(-sample_cost - log_z, sample_log_q)
        return mixture(demo_cost, sample_cost, demo_log_mu, sample_log_mu)


# In the order of a report, in which each comes after those that it follows.
ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Quadrature(),
        AnnealedBroad(),
        Annealed(),
        AnnealedReverse(),
        Bridge(),
        Importance(),
        Discriminator(),
        Mixture(),
    )
}
