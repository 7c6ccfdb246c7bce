"""The contract of a learner: how a sampler descends an objective that is a mean over its own draws."""

from __future__ import annotations

import abc
from collections.abc import Callable

from torch import Tensor, nn

from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples

Objective = Callable[..., Tensor]  # (samples, log q or None) -> values (B,)


class Learner(nn.Module, abc.ABC):
    """Turns an objective per sample into a loss whose gradient descends its mean over the sampler's draws.

    A learner is a module of the view. Its state (a value network, statistics) is saved as ``learner.*``, and the
    sampler's optimizer trains its parameters.

    Args:
        event: what one sample looks like.

    Attributes:
        is_stepwise: whether it descends the objective step by step, which needs one that is a sum over steps.
        descents: number of descents in a round, if it is always the same.
    """

    is_stepwise: bool = False
    descents: int = 1

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event

    def check(self, sampler: Sampler) -> None:
        """Refuse a sampler that this learner cannot train.

        Raises:
            ValueError: naming the sampler, what it lacks and what to do.
        """

    def departures(self) -> list[str]:
        """How this learner departs from the paper's objective, a line each."""
        return []

    def begin(self, sampler: Sampler, objective: Objective, samples: Samples) -> int:
        """Prepare the descents of a round, whose losses :meth:`loss` then gives one by one.

        Args:
            sampler: q.
            objective: as of :meth:`loss`, without terms that are the same for every sample; for samplers of
                trajectories it is called with transitions and the log pi of each, so that it says what each step costs.
            samples: draws of the sampler as it is now, made for the cost's step.

        Returns:
            The number of descents: one by default, none if the sampler was solved for here.
        """
        return self.descents

    @abc.abstractmethod
    def loss(self, sampler: Sampler, objective: Objective, num_samples: int) -> Tensor:
        """A scalar whose gradient in the sampler's parameters is that of E_q[objective(x, log q(x))].

        Args:
            sampler: q.
            objective: maps samples (B, *shape) and their log q (B,), None without a density, to values (B,), lower is
                better.
            num_samples: draws, B.
        """
