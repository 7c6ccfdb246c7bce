"""The contract of c: one scalar per sample, lower is likelier."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor, nn

from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of


class Cost(nn.Module, abc.ABC):
    """c(x), the energy of an EBM and minus the reward of IRL; the model is exp(-c)/Z.

    Attributes:
        event: what one sample looks like.
        space: what kind of thing it is, made from the event.
        reference: a frozen sampler to which the cost is relative; None for a cost that stands alone.
        is_nonnegative: whether c is never below 0, whatever the parameters; a margin discriminator needs it.
        sees_actions: whether c of a trajectory depends on its actions; without, demonstrations of states alone serve.
    """

    is_nonnegative: bool = False
    sees_actions: bool = True

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event, self.space = event, space_of(event)
        self.shape, self.dimension = self.space.shape, self.space.dimension
        self.reference: Sampler | None = None

    def start_from(self, sampler: Sampler) -> None:
        """Take what this cost needs from the sampler beside it; called by the view at the start and after the warm
        start.

        Raises:
            ValueError: if the sampler lacks it.
        """

    def relative(self, samples: Any, sampler: Sampler, log_q: Tensor) -> Tensor:
        """c(samples) (B,), given log q (B,) of the samples under a sampler.

        A cost that is defined relative to that sampler uses this log q and does not score the samples again.
        """
        return self(samples)  # type: ignore[no-any-return]

    def learned(self, samples: Any) -> Tensor:
        """The trainable part of c(samples) (B,), in nats: without a fixed part and without a bound, where a cost has
        them.
        """
        return self(samples)  # type: ignore[no-any-return]

    @abc.abstractmethod
    def forward(self, samples: Any) -> Tensor:
        """Cost of samples (B, *shape).

        Returns:
            c(samples) (B,), in nats.
        """
