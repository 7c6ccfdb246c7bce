"""Normalising flows, of zuko's layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from zuko.lazy import LazyComposedTransform
from zuko.transforms import MonotonicAffineTransform

from lightning_irl.limits import at_least
from lightning_irl.samplers.gaussian import BOX_SCALE
from lightning_irl.samplers.one_pass import AutoregressiveLayer, CouplingLayer, Spline
from lightning_irl.samplers.transport import Transport, standard_normal_log_prob
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.support import RealSupport

COUPLING_FROM = 5  # an autoregressive flow samples in d passes; above this dimension coupling (one pass) is the default
SPLINE_BOUND = 8.0  # of the spline on a real support, in standard deviations of the data; identity beyond
START_NEAR_IDENTITY = 0.1  # factor on the last layer of every transform's network at the start


class FlowSampler(Transport):
    r"""q is the density of x = T^{-1}(z), T a stack of masked autoregressive or coupling transforms (layers by zuko), z
    standard normal.

    On a real support x is standardised by the training data. On a box either x is the sigmoid of such a flow, or
    (``native``) splines map the box to itself, on which the normal distribution function makes z uniform first.

    Args:
        event: what one sample looks like.
        transform: ``spline`` (rational-quadratic, Durkan et al. 2019, arXiv 1906.04032) or ``affine``
            (Dinh et al. 2017, arXiv 1605.08803; Papamakarios et al. 2017, arXiv 1705.07057).
        coupling: transform half of the coordinates given the other half, so that a draw takes one pass instead of d; by
            default from 5 dimensions up. Images are halved by checkerboard, rows and columns in turn.
        transforms: number of transforms.
        hidden: sizes of the hidden layers of each transform's network.
        bins: pieces of each spline.
        dropout: share of hidden units dropped while the sampler is in training mode, which views use for likelihood
            terms alone.
        native: on a box, spline the box itself instead of going through a sigmoid.

    Raises:
        ValueError: if ``transform`` is neither, or ``native`` goes with affine transforms or a real support.

    Example:
        >>> from lightning_irl.spaces.event import make_event
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
        dropout: float = 0.0,
        native: bool = False,
    ) -> None:
        super().__init__(event)
        self.space.require_continuous("FlowSampler")
        at_least(1, "FlowSampler ", transforms=transforms, bins=bins, units=min(hidden, default=1))
        if transform not in ("spline", "affine"):
            raise ValueError(f"FlowSampler transform is {transform!r}; allowed: spline, affine")
        if native and not (self.space.edges and transform == "spline"):
            raise ValueError("FlowSampler native=true splines a box; the data is not on one, or transform is affine")
        self.is_uniform = native
        self.support = RealSupport() if native else self.space.support
        options: dict[str, Any] = {
            "hidden_features": hidden,
            "activation": partial(_activation, dropout),
        }
        if transform == "spline":
            options["univariate"] = partial(Spline, bound=1.0 if native else SPLINE_BOUND)
            options["shapes"] = [(bins,), (bins,), (bins - 1,)]
        else:
            options |= {"univariate": MonotonicAffineTransform, "shapes": [(), ()]}
        is_coupling = self.dimension >= COUPLING_FROM if coupling is None else coupling
        self.is_one_pass = is_coupling
        build: Callable[..., nn.Module] = self._coupling if is_coupling else self._autoregressive
        layers = [build(index, **options) for index in range(transforms)]
        with torch.no_grad():
            for layer in layers:
                network = getattr(layer, "hyper", None)  # a single coordinate has none, but bare parameters
                last = layer if network is None else network[-1]
                for parameter in last.parameters():
                    parameter.mul_(START_NEAR_IDENTITY)
        self.flow = LazyComposedTransform(*layers)
        self._standardise()

    def _standardise(self) -> None:
        location, scale, edges = self.space.location, self.space.scale, self.space.edges
        if edges is not None and self.is_uniform:
            low, high = edges
            location, scale = torch.full_like(location, (low + high) / 2), torch.full_like(scale, (high - low) / 2)
        elif edges is not None:
            inside = self.space.inside(location)  # a mean at an edge has no logit
            location, scale = self.support.unconstrain(inside[None])[0][0], torch.full_like(scale, BOX_SCALE)
        self.register_buffer("location", location)
        self.register_buffer("scale", scale)

    def _autoregressive(self, index: int, **options: Any) -> nn.Module:
        order = torch.arange(self.dimension)
        return AutoregressiveLayer(self.dimension, order=order.flip(0) if index % 2 else order, **options)

    def _coupling(self, index: int, **options: Any) -> nn.Module:
        if self.space.has_channels:
            channel, row, column = torch.meshgrid(*(torch.arange(size) for size in self.shape), indexing="ij")
            halves = [channel + row + column, row, column]
            mask = (halves[index // 2 % 3] + index) % 2 == 0
        else:
            mask = (torch.arange(self.dimension) + index) % 2 == 0
        return CouplingLayer(self.dimension, mask=mask.flatten(), **options)

    def from_base(self, base: Tensor) -> tuple[Tensor, Tensor]:
        start, start_log_det = _uniform_of_normal(base) if self.is_uniform else (base, base.new_zeros(base.shape[0]))
        standard, flow_log_det = self.flow().inv.call_and_ladj(start)
        samples, support_log_det = self.support.constrain(self.location + self.scale * standard)
        log_det = start_log_det + flow_log_det + self.scale.log().sum() + support_log_det
        return samples.view(len(base), *self.shape), log_det

    def to_base(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        free, support_log_det = self.support.unconstrain(samples.flatten(1))
        base, flow_log_det = self.flow().call_and_ladj((free - self.location) / self.scale)
        log_det = support_log_det - self.scale.log().sum() + flow_log_det
        if self.is_uniform:
            base = _normal_of_uniform(base)
            log_det = log_det - _uniform_of_normal(base)[1]
        return base, log_det


def _uniform_of_normal(base: Tensor) -> tuple[Tensor, Tensor]:
    """Map standard normal coordinates to uniform ones on [-1, 1], with log |d uniform / d normal|."""
    return torch.erf(base / math.sqrt(2)), standard_normal_log_prob(base) + base.shape[-1] * math.log(2)


def _normal_of_uniform(uniform: Tensor) -> Tensor:
    """The inverse; an edge is moved inward by one rounding, so that its normal coordinate is finite (5.4 in single
    precision).
    """
    edge = 1 - torch.finfo(uniform.dtype).eps / 2
    return math.sqrt(2) * torch.erfinv(uniform.clamp(-edge, edge))


def _activation(dropout: float) -> nn.Module:
    return nn.Sequential(nn.SiLU(), nn.Dropout(dropout)) if dropout else nn.SiLU()
