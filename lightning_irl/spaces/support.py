"""Change of coordinates between the support of an event and all of R^d, with its log-determinant.

Samplers with a Gaussian core and Hamiltonian chains work on R^d. On a box they go through a scaled sigmoid, so that
draws and chains live on the box and densities stay with respect to the data as served.
"""

from __future__ import annotations

import abc
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightning_irl.spaces.event import Event


class Support(abc.ABC):
    """A bijection between R^d and the support of an event, coordinate by coordinate.

    Attributes:
        edges: lower and upper edge of the box in every coordinate; None on all of R^d.
    """

    edges: tuple[float, float] | None = None

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

    A draw is never on an edge: where rounding would put it there, it is the nearest number inside. A sample on an edge
    is moved inward by one part in 1e6 (float32) or 1e12 (float64) of the width, so that its free coordinate is finite.

    A draw is rounded. Near an edge other than 0 the spacing of numbers is eps times that edge, so the free coordinate
    of a draw at distance d from the edge is off by up to eps * edge / d: 0.01 at 1e-5 from the upper edge of [0, 1] in
    float32.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.edges = low, high
        self._inside = {dtype: _inside(low, high, dtype) for dtype in (torch.float32, torch.float64)}

    def constrain(self, free: Tensor) -> tuple[Tensor, Tensor]:
        samples = self.low + (self.high - self.low) * torch.sigmoid(free)
        if samples.dtype in self._inside:
            samples = samples.clamp(*self._inside[samples.dtype])
        return samples, self._log_slope(free)

    def unconstrain(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        free = self.bounded(samples)
        below, above = samples - self.low, self.high - samples  # the smaller one is exact
        closest = torch.minimum(below, above)
        is_near = (closest > 0) & (closest < 2 * _edge(samples.dtype) * (self.high - self.low))
        logit = torch.where(is_near, below, 1.0).log() - torch.where(is_near, above, 1.0).log()
        free = torch.where(is_near, logit, free)
        return free, -self._log_slope(free)

    def bounded(self, samples: Tensor) -> Tensor:
        """Free coordinates (B, d) as a network takes them: near an edge, at most those of a sample on it."""
        return torch.logit((samples - self.low) / (self.high - self.low), eps=_edge(samples.dtype))

    def _log_slope(self, free: Tensor) -> Tensor:
        """log |d sample / d free| (B,)."""
        log_slope = -functional.softplus(free) - functional.softplus(-free)
        return (log_slope + math.log(self.high - self.low)).sum(-1)


def _edge(dtype: torch.dtype) -> float:
    """How far inside the box a sample on its edge is taken to be, in widths."""
    return 1e-6 if dtype == torch.float32 else 1e-12


def _inside(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The smallest and the largest number between the edges; beside 0 the smallest normal one, as devices flush others
    to 0.
    """
    number = np.float32 if dtype == torch.float32 else np.float64
    first, last, tiny = number(low), number(high), np.finfo(number).tiny
    smallest, largest = np.nextafter(first, last), np.nextafter(last, first)
    return max(float(smallest), float(first) + float(tiny)), min(float(largest), float(last) - float(tiny))


def support_of(event: Event) -> Support:
    """The support of ``event`` as a change of coordinates.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> type(support_of(make_event("image", [1, 8, 8], support="box"))).__name__
        'BoxSupport'
    """
    return BoxSupport(event["low"], event["high"]) if event["support"] == "box" else RealSupport()
