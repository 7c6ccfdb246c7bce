"""Change of coordinates between the support of an event and all of R^d, with its log-determinant.

Samplers with a Gaussian core and Hamiltonian chains work on R^d. On a box they go through a scaled sigmoid, so that draws
and chains live on the box and densities stay with respect to the data as served.
"""

from __future__ import annotations

import abc
import math

import torch
from torch import Tensor
from torch.nn import functional

from lightning_irl.event import Event


class Support(abc.ABC):
    """A bijection between R^d and the support of an event, coordinate by coordinate."""

    @abc.abstractmethod
    def constrain(self, free: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``free`` (B, d) on R^d to the support.

        Returns:
            The samples (B, d) and log |d sample / d free| (B,), in nats.
        """

    @abc.abstractmethod
    def unconstrain(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``samples`` (B, d) on the support to R^d.

        Returns:
            The free coordinates (B, d) and log |d free / d sample| (B,), in nats.
        """


class RealSupport(Support):
    """All of R^d: the identity."""

    def constrain(self, free: Tensor) -> tuple[Tensor, Tensor]:
        return free, free.new_zeros(free.shape[0])

    def unconstrain(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        return samples, samples.new_zeros(samples.shape[0])


class BoxSupport(Support):
    """The box [low, high]^d through a scaled sigmoid.

    A sample on an edge of the box is moved inward by one part in 1e6 (float32) or 1e12 (float64) of its width, so that its
    free coordinate is finite.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def constrain(self, free: Tensor) -> tuple[Tensor, Tensor]:
        width = self.high - self.low
        log_det = -functional.softplus(free) - functional.softplus(-free)
        return self.low + width * torch.sigmoid(free), (log_det + math.log(width)).sum(-1)

    def unconstrain(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        edge = 1e-6 if samples.dtype == torch.float32 else 1e-12
        free = torch.logit((samples - self.low) / (self.high - self.low), eps=edge)
        return free, -self.constrain(free)[1]


def support_of(event: Event) -> Support:
    """The support of ``event`` as a change of coordinates.

    Example:
        >>> from lightning_irl.event import make_event
        >>> type(support_of(make_event("image", [1, 8, 8], support="box"))).__name__
        'BoxSupport'
    """
    return BoxSupport(event["low"], event["high"]) if event["support"] == "box" else RealSupport()
