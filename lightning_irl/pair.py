"""The pair of cost and sampler, at a temperature and a level, as losses, reports and estimators receive it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_irl import objectives
from lightning_irl.costs.base import Cost
from lightning_irl.costs.energy import Energy
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, count, join
from lightning_irl.spaces.space import space_of
from lightning_irl.spaces.trajectory import Trajectory, cut


def segment_length(event: Event, level: str | int) -> int | None:
    """Steps in one sample at a level: ``trajectory``, ``transition`` or a number of steps; None for uncut samples.

    Raises:
        ValueError: if the level is unknown or does not apply to the event.
    """
    if level == "trajectory":
        return None
    length = 1 if level == "transition" else level
    if not isinstance(length, int) or length < 1:
        raise ValueError(f"level is {level!r}; allowed: trajectory, transition, or the number of steps of a segment")
    space = space_of(event)
    if not space.has_steps:
        raise ValueError(f"level is {level!r}, but the data is of kind {space.kind}, which has no steps; remove it")
    if event["horizon"] % length:
        raise ValueError(
            f"level is {level}, but segments of {length} steps do not divide a horizon of {event['horizon']}"
        )
    return length


@dataclass(frozen=True)
class Pair:
    """The cost c and the sampler q, and the quantities that follow from them.

    Args:
        cost: c.
        sampler: q.
        temperature: T; the model is exp(-c/T)/Z.
        segment_length: steps in one sample, where trajectories are cut into segments; None for uncut samples.
        start: the sampler that estimates of log Z start from: the frozen one to which the cost is relative, where q is
            frozen too; else None, for q.
        has_model: whether exp(-c/T)/Z is a model that q can score.
        reshape_density: called with samples (B, *shape) and the current sampler's log q (B,); returns the log density
            (B,) of draws pooled over several samplers. None for the current sampler's own density.
    """

    cost: Cost
    sampler: Sampler
    temperature: float = 1.0
    segment_length: int | None = None
    has_model: bool = True
    start: Sampler | None = None
    reshape_density: Callable[[Samples, Tensor], Tensor] | None = None

    @property
    def event(self) -> Event:
        """Description of one sample."""
        return self.sampler.event

    @property
    def device(self) -> torch.device:
        """Where cost and sampler are; the CPU where neither has a parameter or buffer."""
        parts = (*self.sampler.parameters(), *self.sampler.buffers(), *self.cost.parameters(), *self.cost.buffers())
        return next((part.device for part in parts), torch.device("cpu"))

    @property
    def known_sampler(self) -> Sampler:
        """The sampler that estimates of log Z start from."""
        return self.sampler if self.start is None else self.start

    @property
    def energy(self) -> Energy:
        """c/T, a function of samples (B, *shape) to (B,), in nats."""
        return Energy(self.cost, self.temperature)

    def energies(self, demonstrations: Samples, samples: Samples) -> tuple[Tensor, Tensor]:
        """c/T of demonstrations (N,) and of draws (M,), in one call of the cost."""
        both = self.energy(join([demonstrations, samples]))
        demo, sample = both.split([count(demonstrations), count(samples)])
        return demo, sample

    def log_q(self, samples: Samples) -> Tensor:
        """log q (B,) of samples (B, *shape), in nats; without gradient, in float32 or better."""
        with torch.no_grad():
            log_q = self.sampler.log_prob(samples)
        log_q = log_q if log_q.dtype == torch.float64 else log_q.float()
        return log_q if self.reshape_density is None else self.reshape_density(samples, log_q)

    def ratio(self, samples: Samples, log_z: Tensor) -> Tensor:
        """log(p_theta/q) (B,) of samples (B, *shape), in nats: the logit of the paper's discriminator."""
        return objectives.discriminator_logits(self.energy(samples), self.log_q(samples), log_z)

    def require_density(self, user: str, instead: str = "") -> None:
        """Refuse a sampler without a density.

        Args:
            user: what needs log q.
            instead: an option that does without it.

        Raises:
            ValueError: naming the sampler, the user and what to use.
        """
        if not self.sampler.has_density:
            options = f"{instead}, or " if instead else ""
            raise ValueError(
                f"sampler {type(self.sampler).__name__} has no density; {user} needs one: use {options}a sampler with "
                "a density, such as FlowSampler"
            )

    def draw(self, num: int) -> tuple[Samples, Tensor | None]:
        """``num`` draws of the sampler at this level, without gradient, and their log q (None without a density)."""
        drawn, log_q = self.sampler.sample(num)
        samples = self.at_level(drawn)
        return samples, log_q if samples is drawn or log_q is None else self.log_q(samples)

    def at_level(self, samples: Samples) -> Samples:
        """Samples as the losses receive them: whole, or trajectories cut into segments or transitions."""
        if self.segment_length is None or not isinstance(samples, Trajectory):
            return samples
        return cut(samples, self.segment_length)

    @property
    def level_name(self) -> str:
        """Prefix of quantities' names at this level: ``transition_``, ``segment_``, or empty for whole samples."""
        return {None: "", 1: "transition_"}.get(self.segment_length, "segment_")
