"""The contract of q: draws samples and, where its density is tractable, scores them."""

from __future__ import annotations

import abc
import copy
from typing import Any

from torch import Tensor, nn
from typing_extensions import Self

from lightning_irl.precision import keep_full_precision
from lightning_irl.spaces.event import Event, dimension, validate_event


class Sampler(nn.Module, abc.ABC):
    """Draws samples of an event and, where it has a density, scores them.

    Densities are in nats, with respect to the event's base measure and to the data as served. Every draw uses torch's
    global random state of the device on which the parameters are. Samples are a tensor (B, *shape), or a Trajectory of
    B.

    Attributes:
        event: what one sample looks like.
        has_density: whether :meth:`log_prob` exists and :meth:`sample` returns log q.
        has_rsample: whether :meth:`rsample` exists.
    """

    has_density: bool = True
    has_rsample: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        keep_full_precision(
            cls, ("sample", "rsample", "log_prob", "learned_log_prob", "step_log_prob", "to_base", "from_base")
        )

    def __init__(self, event: Event) -> None:
        super().__init__()
        validate_event(event)
        self.event = event
        self.shape = tuple(event["shape"])
        self.dimension = dimension(event)

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
            where a draw can be an atom, its gradient holds a term that :meth:`log_prob` of the draw has not.

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
        """A copy as it is now, held constant."""
        return copy.deepcopy(self).requires_grad_(False).eval()

    def learned_log_prob(self, samples: Any) -> Tensor:
        """Score samples (B, *shape) by the part that learns, which likelihood terms train; :meth:`log_prob` unless it
        says else.
        """
        return self.log_prob(samples)
