"""Kinds of rounds: when a view draws, and which draws each step of the cost sees."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import torch

from lightning_irl.pair import Pair
from lightning_irl.processes import share
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.samples import Samples, count, each, select
from lightning_irl.views.fusion import Fusion

if TYPE_CHECKING:
    from lightning_irl.views.view import View


class Rounds(abc.ABC):
    """How a batch of demonstrations becomes steps of the cost and of the sampler.

    Attributes:
        fusion: draws and samplers of earlier rounds, if they are kept.
    """

    fusion: Fusion | None = None

    def check(self, pair: Pair, accumulate: int) -> None:  # noqa: B027
        """Refuse a pair or a value of ``accumulate`` that these rounds cannot train with.

        Raises:
            ValueError: naming what does not fit and what to do.
        """

    @abc.abstractmethod
    def train(self, view: View, demonstrations: Samples) -> None:
        """Train on a batch of demonstrations, at the view's level, by :meth:`View.descend_cost` and
        :meth:`View.train_sampler`.
        """

    def state(self) -> dict[str, Any]:
        """State of this process that a resumed run needs, as plain data by name."""
        return {}

    def restore(self, state: dict[str, Any], sampler: Sampler) -> None:  # noqa: B027
        """Restore the result of :meth:`state`, for a sampler of the same kind."""


class EachBatch(Rounds):
    """New draws for each batch, which is one step of the cost; the sampler follows every ``cost_steps`` batches."""

    def train(self, view: View, demonstrations: Samples) -> None:
        if view.cost_steps and not (view.cost_objective.needs_draws or view.sampler_steps):
            self._train_without_draws(view, demonstrations)
            return
        drawn, log_q = view.sampler.sample(view.draws(demonstrations))
        view.health.watch_draws(drawn, view.batches)
        samples = view.pair.at_level(drawn)
        if samples is not drawn and log_q is not None:
            log_q = view.pair.log_q(samples)
        if view.cost_steps:
            view.descend_cost(demonstrations, samples, log_q)
        if ((view.batches - view.warm_start) // view.accumulate + 1) % max(view.cost_steps, 1) == 0:
            view.train_sampler(demonstrations, drawn)

    def _train_without_draws(self, view: View, demonstrations: Samples) -> None:
        """Train a cost that needs no draws; draw only for log Z, with random numbers that training does not see."""
        draws, log_q = each(lambda part: part[:0], demonstrations), None
        if view.wants_log_z:
            with torch.random.fork_rng(devices=[view.device] if view.device.type == "cuda" else []):
                draws, log_q = view.sampler.sample(view.draws(demonstrations))
            view.health.watch_draws(draws, view.batches)
        view.descend_cost(demonstrations, draws, log_q)


class PooledRounds(Rounds):
    """A round per batch: one set of draws, ``cost_steps`` steps of the cost on parts of it, then the sampler's steps.

    The sampler learns from the same draws if its learner can use them (guided cost learning; Finn et al. 2016, arXiv
    1603.00448).

    Args:
        cost_batch: demonstrations and draws in each step of the cost, over all processes, at the view's level;
            None for all of them.
        keep_rounds: number of earlier rounds whose draws the cost still sees, under the mixture density of all kept
            samplers.

    Raises:
        ValueError: if a number is not allowed.
    """

    fusion: Fusion

    def __init__(self, cost_batch: int | None = None, keep_rounds: int = 0) -> None:
        if cost_batch is not None and cost_batch < 1:
            raise ValueError(f"cost_batch is {cost_batch}; it must be at least 1")
        self.cost_batch, self.fusion = cost_batch, Fusion(keep_rounds)

    def check(self, pair: Pair, accumulate: int) -> None:
        if accumulate > 1:
            raise ValueError(f"accumulate is {accumulate}, but the IRL view has whole rounds; raise cost_batch")
        if self.fusion.rounds and not pair.sampler.has_density:
            raise ValueError(
                f"keep_rounds is {self.fusion.rounds}, but sampler {type(pair.sampler).__name__} has no density, and "
                "earlier draws count by the density of all kept samplers: remove it, or use a sampler with a density"
            )

    def train(self, view: View, demonstrations: Samples) -> None:
        drawn, _ = view.sampler.sample(view.draws(demonstrations))
        view.health.watch_draws(drawn, view.batches)
        current = view.pair.at_level(drawn)
        pool = self.fusion.pool(current)
        for _ in range(view.cost_steps):
            demos, samples = self.part(demonstrations, view.device), self.part(pool, view.device)
            log_q = view.pair.log_q(samples) if view.sampler.has_density else None
            view.descend_cost(demos, samples, log_q)
        self.fusion.add(view.sampler, current)
        view.train_sampler(demonstrations, drawn)

    def part(self, samples: Samples, device: torch.device) -> Samples:
        """This process's share of ``cost_batch`` samples, chosen at random; all samples if there are no more."""
        size = count(samples)
        if self.cost_batch is None or share(self.cost_batch) >= size:
            return samples
        return select(samples, torch.randint(size, (share(self.cost_batch),), device=device))

    def state(self) -> dict[str, Any]:
        return {"fusion": self.fusion.state()}

    def restore(self, state: dict[str, Any], sampler: Sampler) -> None:
        self.fusion.restore(state.get("fusion", []), sampler)
