"""The IRL view: guided cost learning, in rounds of draws that cost and sampler share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_irl.costs.base import Cost
from lightning_irl.processes import share
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, count, select
from lightning_irl.views.fusion import Fusion
from lightning_irl.views.gan import GAN
from lightning_irl.views.guided_cost import GuidedCost


class IRL(GAN):
    r"""Sample-based maximum-entropy IRL (section 2.3); with trajectories as samples, guided cost learning.

    A batch is a round: the sampler draws once, the cost descends ``cost_steps`` times on parts of these draws and of
    the demonstrations, then the sampler descends E_q[c/T] + E_q[log q], with the same draws where its learner can use
    them.

    Args:
        event: what one sample looks like; linked from the data module.
        cost: factory of the cost, called with the event.
        sampler: factory of the sampler, called with the event.
        objective: ``discriminator`` (the loss of the GAN view, whose options apply) or ``guided_cost`` (E_p[c/T] + log
            Z, the loss of the EBM view, with its negative phase).
        negative_phase: of ``guided_cost``: ``importance``, ``mixture`` or ``uniform``, as of the EBM view.
        p_hat: of the ``mixture``, as of the EBM view.
        cost_batch: demonstrations and draws in each step of the cost, over all processes, at this view's level; all of
            them by default.
        keep_rounds: earlier rounds whose draws the cost still sees, each with the density of the fusion of all kept
            samplers.
        **options: of :class:`~lightning_irl.views.gan.GAN` and :class:`~lightning_irl.views.view.View`; ``cost_steps``
            are here steps within each round.

    Raises:
        ValueError: if an option is not allowed, or the negative phase needs a density that the sampler does not have.
    """

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
        **options: Any,
    ) -> None:
        super().__init__(event, cost, sampler, **options)
        if objective not in ("discriminator", "guided_cost"):
            raise ValueError(f"objective is {objective!r}; allowed: discriminator, guided_cost")
        if cost_batch is not None and cost_batch < 1:
            raise ValueError(f"cost_batch is {cost_batch}; it must be at least 1")
        if self.accumulate > 1:
            raise ValueError(f"accumulate is {self.accumulate}, but the IRL view has whole rounds; raise cost_batch")
        self.guided_cost = GuidedCost(self.event, negative_phase, p_hat) if objective == "guided_cost" else None
        if self.guided_cost is not None and not self.sampler.has_density and negative_phase != "uniform":
            raise ValueError(
                f"sampler {type(self.sampler).__name__} has no density; negative_phase={negative_phase} needs one: use "
                "negative_phase=uniform, or a sampler with a density"
            )
        self.cost_batch, self.fusion = cost_batch, Fusion(keep_rounds)

    def departures(self) -> list[str]:
        if self.guided_cost is None:
            return super().departures()
        # a learned log_z would be the discriminator's, whose loss is not used
        found = [line for line in super().departures() if not line.startswith("log_z_by")]
        return found + self.guided_cost.departures()

    def cost_loss(self, demonstrations: Samples, samples: Samples, log_q: Tensor | None) -> Tensor:
        if self.guided_cost is None:
            return super().cost_loss(demonstrations, samples, log_q)
        return self.guided_cost_loss(self.guided_cost, demonstrations, samples, log_q)

    def log_density(self, samples: Samples) -> Tensor:
        return self.fusion.log_density(samples, super().log_density(samples))

    def train_pair(self, demonstrations: Samples) -> None:
        drawn, _ = self.sampler.sample(self.draws(demonstrations))
        self.finite.watch_draws(drawn, self._batch)
        current = self.at_level(drawn)
        pool = self.fusion.pool(current)
        for _ in range(self.cost_steps):
            demos, samples = self.part(demonstrations), self.part(pool)
            log_q = self.log_density(samples) if self.sampler.has_density else None
            self.descend_cost(demos, samples, log_q)
        self.fusion.add(self.sampler, current)
        self.train_sampler(demonstrations, drawn)

    def part(self, samples: Samples) -> Samples:
        """This process's share of ``cost_batch`` samples, chosen at random; all of them if they are no more."""
        size = count(samples)
        if self.cost_batch is None or share(self.cost_batch) >= size:
            return samples
        return select(samples, torch.randint(size, (share(self.cost_batch),), device=self.device))

    def process_state(self) -> dict[str, Any]:
        return super().process_state() | {"fusion": self.fusion.state()}

    def restore_process(self, state: dict[str, Any]) -> None:
        super().restore_process(state)
        self.fusion.restore(state.get("fusion", []), self.sampler)
