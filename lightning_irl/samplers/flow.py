"""Normalising flows, from zuko's transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from zuko.flows import MaskedAutoregressiveTransform
from zuko.lazy import LazyComposedTransform
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from lightning_irl.event import Event, per_coordinate
from lightning_irl.samplers.base import Sampler
from lightning_irl.support import support_of

COUPLING_FROM = 5  # an autoregressive flow samples in d passes; above this dimension coupling (2 passes) is the default
SPLINE_BOUND = 5.0  # of the spline on a real support, in standard deviations of the data; identity beyond


class FlowSampler(Sampler):
    r"""q is the density of x = T^{-1}(z), T a stack of masked autoregressive or coupling transforms (zuko).

    On a real support z is standard normal and x is standardised by the training data. On a box, splines map the box to itself
    and z is uniform there, so that nothing leaks out; affine transforms go through a sigmoid.

    Args:
        event: what one sample looks like.
        transform: ``spline`` (rational-quadratic, Durkan et al. 2019, arXiv 1906.04032) or ``affine``
            (Dinh et al. 2017, arXiv 1605.08803; Papamakarios et al. 2017, arXiv 1705.07057).
        coupling: two passes to sample instead of d; by default from 5 dimensions up.
        transforms: number of transforms.
        hidden: sizes of the hidden layers of each transform's network.
        bins: pieces of each spline.
        shuffle: permute the coordinates at random between transforms, instead of reversing them.

    Raises:
        ValueError: if ``transform`` is neither.

    Example:
        >>> from lightning_irl.event import make_event
        >>> samples, log_q = FlowSampler(make_event("point", [2])).rsample(5)
        >>> samples.shape, log_q.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        event: Event,
        transform: Literal["spline", "affine"] = "spline",
        coupling: bool | None = None,
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
        bins: int = 8,
        shuffle: bool = False,
    ) -> None:
        super().__init__(event)
        if transform not in ("spline", "affine"):
            raise ValueError(f"FlowSampler transform is {transform!r}; allowed: spline, affine")
        on_box = event["support"] == "box"
        self.is_uniform = on_box and transform == "spline"
        self.support = support_of(event)
        if transform == "spline":
            bound = 1.0 if on_box else SPLINE_BOUND
            univariate = partial(MonotonicRQSTransform, bound=bound)
            shapes: list[tuple[int, ...]] = [(bins,), (bins,), (bins - 1,)]
        else:
            univariate, shapes = partial(MonotonicAffineTransform), [(), ()]
        if coupling is None:
            coupling = self.dimension >= COUPLING_FROM
        orders = [torch.arange(self.dimension), torch.arange(self.dimension).flip(0)]
        self.flow = LazyComposedTransform(
            *(
                MaskedAutoregressiveTransform(
                    features=self.dimension,
                    passes=2 if coupling else None,
                    order=torch.randperm(self.dimension) if shuffle else orders[index % 2],
                    univariate=univariate,
                    shapes=shapes,
                    hidden_features=hidden,
                    activation=nn.SiLU,
                )
                for index in range(transforms)
            )
        )
        if self.is_uniform:
            location, scale = (event["low"] + event["high"]) / 2, (event["high"] - event["low"]) / 2
            self.register_buffer("location", torch.full((self.dimension,), location))
            self.register_buffer("scale", torch.full((self.dimension,), scale))
        else:
            free = torch.zeros(self.dimension) if on_box else per_coordinate(event["location"], event)
            self.register_buffer("location", free)
            self.register_buffer("scale", torch.ones_like(free) if on_box else per_coordinate(event["scale"], event))

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        return self.rsample(num_samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        base = self.scale.new_empty(num_samples, self.dimension)
        base = base.uniform_(-1, 1) if self.is_uniform else base.normal_()
        standard, log_det = self.flow().inv.call_and_ladj(base)
        free = self.location + self.scale * standard
        log_q = self._base_log_prob(base) - log_det - self.scale.log().sum()
        if self.is_uniform:
            return free.view(num_samples, *self.shape), log_q
        samples, log_det = self.support.constrain(free)
        return samples.view(num_samples, *self.shape), log_q - log_det

    def log_prob(self, samples: Tensor) -> Tensor:
        free, free_log_det = samples.flatten(1), samples.new_zeros(())
        if not self.is_uniform:
            free, free_log_det = self.support.unconstrain(free)
        base, log_det = self.flow().call_and_ladj((free - self.location) / self.scale)
        return self._base_log_prob(base) + log_det - self.scale.log().sum() + free_log_det

    def _base_log_prob(self, base: Tensor) -> Tensor:
        if self.is_uniform:
            return base.new_full((len(base),), -self.dimension * math.log(2))
        return -base.square().sum(-1) / 2 - self.dimension / 2 * math.log(2 * math.pi)
