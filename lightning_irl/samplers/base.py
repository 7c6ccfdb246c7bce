"""The contract of q: draws samples and, where its density is tractable, scores them."""

from __future__ import annotations

import abc
import copy
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from lightning_irl.precision import keep_full_precision
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import Space, space_of


class Sampler(nn.Module, abc.ABC):
    """Draws samples of an event and, where it has a density, scores them.

    Densities are in nats, with respect to the event's base measure and to the data as served. Every draw uses torch's
    global random state of the device on which the parameters are. Samples are a tensor (B, *shape), or a named tuple of
    tensors such as a Trajectory, batch first.

    Attributes:
        event: what one sample looks like.
        space: what kind of thing it is, made from the event.
        has_density: whether :meth:`log_prob` exists and :meth:`sample` returns log q.
        has_rsample: whether :meth:`rsample` exists.
    """

    space: Space
    has_density: bool = True
    has_rsample: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        keep_full_precision(
            cls, ("sample", "rsample", "log_prob", "learned_log_prob", "step_log_prob", "to_base", "from_base")
        )

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event, self.space = event, space_of(event)
        self.shape, self.dimension = self.space.shape, self.space.dimension

    @abc.abstractmethod
    def sample(self, num_samples: int) -> tuple[Any, Tensor | None]:
        """Draw without gradient.

        Returns:
            Samples (num_samples, *shape) and their log q (num_samples,), ``None`` without a density.
        """

    def rsample(self, num_samples: int) -> tuple[Any, Tensor | None]:
        """Draw with a gradient in the sampler's parameters, as ``torch.distributions`` does.

        Returns:
            Samples (num_samples, *shape) and their log q (num_samples,), ``None`` without a density. Use this log q:
            where a draw can be an atom, its gradient has a term that :meth:`log_prob` of the draw lacks.

        Raises:
            NotImplementedError: if ``has_rsample`` is False.
        """
        raise NotImplementedError(
            f"sampler {type(self).__name__} has no differentiable draws; use a score-function learner"
        )

    def log_prob(self, samples: Any) -> Tensor:
        """Score samples (B, *shape).

        Returns:
            log q(samples) (B,), in nats.

        Raises:
            NotImplementedError: if ``has_density`` is False.
        """
        raise NotImplementedError(f"sampler {type(self).__name__} has no density")

    def snapshot(self) -> Self:
        """A copy of the sampler as it is now, with constant parameters."""
        return copy.deepcopy(self).requires_grad_(False).eval()

    def learned_log_prob(self, samples: Any) -> Tensor:
        """Score samples (B, *shape) by the trainable part, for likelihood terms; :meth:`log_prob` unless a subclass
        overrides it.
        """
        return self.log_prob(samples)
