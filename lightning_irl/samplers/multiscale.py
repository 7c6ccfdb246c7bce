"""Multi-scale coupling flows of images, with convolutional conditioners."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_irl.samplers.gaussian import BOX_SCALE
from lightning_irl.samplers.spline import bounded, rational_quadratic_spline
from lightning_irl.samplers.transport import Transport
from lightning_irl.spaces.event import Event

SPLINE_BOUND = 5.0  # of the splines, after the affine transform; identity beyond
START_NEAR_IDENTITY = 0.1  # factor on the last layer of every conditioner at the start


class MultiscaleFlow(Transport):
    r"""q is the density of x = T^{-1}(z), T the multi-scale coupling flow of images, z standard normal.

    At each scale the image is squeezed (each 2 x 2 square of pixels becomes 4 channels), and coupling steps transform
    half of the channels given the other half, with halves that are checkerboards, rows and columns of the squares. Half
    of the channels is then done; the rest goes to the next scale. On a box x is the sigmoid of such a flow.

    Args:
        event: what one sample looks like, of shape [C, H, W].
        transform: ``spline`` (an affine transform, then a rational-quadratic spline; Durkan et al. 2019, arXiv
            1906.04032) or ``affine`` (Dinh et al. 2017, arXiv 1605.08803).
        steps: coupling steps at each scale, the finest first; H and W must be divisible by 2 as often as there are
            scales.
        hidden: channels inside the conditioners of each scale, the finest first.
        blocks: residual blocks of each conditioner.
        bins: pieces of each spline.
        dropout: share of hidden units dropped while the sampler is in training mode, which views use for likelihood
            terms alone.

    Raises:
        ValueError: if ``transform`` is neither, ``bins`` is below 1, the event is no image, its sides are not divisible
            as often as there are scales, or ``steps`` and ``hidden`` are not one positive number per scale.

    Source:
        Dinh et al. 2017, arXiv 1605.08803; Kingma and Dhariwal 2018, arXiv 1807.03039.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> samples, log_q = MultiscaleFlow(make_event("image", [1, 8, 8], support="box")).rsample(5)
        >>> samples.shape, log_q.shape
        (torch.Size([5, 1, 8, 8]), torch.Size([5]))
    """

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        event: Event,
        transform: Literal["spline", "affine"] = "spline",
        steps: Sequence[int] = (2, 4),
        hidden: Sequence[int] = (32, 64),
        blocks: int = 1,
        bins: int = 8,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(event)
        self.space.require_continuous("MultiscaleFlow")
        if transform not in ("spline", "affine"):
            raise ValueError(f"MultiscaleFlow transform is {transform!r}; allowed: spline, affine")
        if bins < 1:
            raise ValueError(f"MultiscaleFlow bins is {bins}; a spline has at least 1 piece, or take transform=affine")
        self.support = self.space.support
        pieces = bins if transform == "spline" else 0
        if len(steps) != len(hidden) or min([*steps, *hidden], default=0) < 1:
            raise ValueError(
                f"MultiscaleFlow steps is {list(steps)} and hidden {list(hidden)}; give each a positive number per "
                "scale"
            )
        self.shapes = _scale_shapes(self.shape, len(steps))
        self.scales = nn.ModuleList(
            _Scale(_Coupling(shape, index, width, blocks, pieces, dropout) for index in reversed(range(count)))
            for shape, count, width in zip(self.shapes, steps, hidden, strict=True)
        )
        self._standardise()

    def _standardise(self) -> None:
        """One location and scale per channel: with one per pixel, a convolution would see a value mean something else
        at each.
        """
        channels = self.space.location.view(self.shape[0], -1)
        scales = self.space.scale.view(self.shape[0], -1)
        location, variance = channels.mean(1, keepdim=True), scales.square().mean(1, keepdim=True)
        scale = (variance + channels.var(1, keepdim=True, correction=0)).sqrt()
        if self.space.edges is not None:
            inside = self.space.inside(location)  # a mean at an edge has no logit
            location, scale = self.support.unconstrain(inside)[0], torch.full_like(scale, BOX_SCALE)
        self.register_buffer("location", location.expand_as(channels).flatten().clone())
        self.register_buffer("scale", scale.expand_as(channels).flatten().clone())

    def from_base(self, base: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [math.prod(shape) // 2 for shape in self.shapes]
        sizes[-1] *= 2
        *done, last = base.split(sizes, 1)
        image = last.unflatten(1, self.shapes[-1])
        log_det = self.scale.log().sum()
        for index in reversed(range(len(self.shapes))):
            if index < len(done):
                image = torch.cat([image, done[index].view_as(image)], 1)
            image, scale_log_det = self.scales[index](image, inverse=True)
            log_det = log_det + scale_log_det
        samples, support_log_det = self.support.constrain(self.location + self.scale * image.flatten(1))
        return samples.view(len(base), *self.shape), log_det + support_log_det

    def to_base(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        free, log_det = self.support.unconstrain(samples.flatten(1))
        log_det = log_det - self.scale.log().sum()
        image = ((free - self.location) / self.scale).view(samples.shape)
        done: list[Tensor] = []
        for scale in self.scales:
            image, scale_log_det = scale(image)
            log_det = log_det + scale_log_det
            if len(done) < len(self.scales) - 1:
                image, finished = image.chunk(2, 1)
                done.append(finished.flatten(1))
        return torch.cat([*done, image.flatten(1)], 1), log_det


def _scale_shapes(shape: tuple[int, ...], scales: int) -> list[tuple[int, int, int]]:
    """Shapes (C, H, W) on which the couplings of each scale work."""
    if len(shape) != 3:
        raise ValueError(f"MultiscaleFlow needs images [C, H, W], the event's shape is {list(shape)}; use FlowSampler")
    channels, height, width = shape
    if height % 2**scales or width % 2**scales:
        raise ValueError(
            f"MultiscaleFlow has {scales} scales for images of {height} x {width}; both sides must be divisible by "
            f"{2**scales}: "
            "give steps and hidden for fewer scales"
        )
    return [(channels * 2 ** (2 + index), height >> (1 + index), width >> (1 + index)) for index in range(scales)]


class _Scale(nn.Module):
    """Squeezes, then couples; the channels changed by the last coupling leave as the second half."""

    def __init__(self, couplings: Iterable[_Coupling]) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(couplings)

    def forward(self, image: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        log_det = image.new_zeros(image.shape[0])
        last: Any = self.couplings[-1]
        image = image[:, last.order] if inverse else functional.pixel_unshuffle(image, 2)
        for coupling in reversed(self.couplings) if inverse else self.couplings:
            image, coupling_log_det = coupling(image, inverse)
            log_det = log_det + coupling_log_det
        return functional.pixel_shuffle(image, 2) if inverse else image[:, last.halves], log_det


class _Coupling(nn.Module):
    """Transforms half of the channels given the other half, elementwise.

    The channels are those of squeezed images, of which every four are a square of pixels: halves are checkerboards,
    rows and columns, each in both directions before the next.
    """

    halves: Tensor
    order: Tensor

    def __init__(
        self, shape: tuple[int, int, int], index: int, hidden: int, blocks: int, bins: int, dropout: float
    ) -> None:
        super().__init__()
        channel = torch.arange(shape[0])
        row, column = channel // 2 % 2, channel % 2
        is_changed = ([channel // 4 + row + column, row, column][index // 2 % 3] + index) % 2
        halves = is_changed.argsort(stable=True)  # the kept channels, then the changed ones
        self.register_buffer("halves", halves, persistent=False)
        self.register_buffer("order", halves.argsort(), persistent=False)
        self.bins = bins
        self.parameters_each = 2 + (3 * bins - 1 if bins else 0)
        self.conditioner = _Conditioner(shape, hidden, blocks, shape[0] // 2 * self.parameters_each, dropout)

    def forward(self, image: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        kept, changed = image[:, self.halves].chunk(2, 1)
        parameters = self.conditioner(kept).unflatten(0, (-1, self.parameters_each))
        rows = changed.transpose(0, 1)
        moved, log_det = self._transform(rows.flatten(1), parameters, inverse)
        changed = moved.view(rows.shape).transpose(0, 1)
        return torch.cat([kept, changed], 1)[:, self.order], log_det.view(*rows.shape[:2], -1).sum((0, 2))

    def _transform(self, values: Tensor, parameters: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Values (C, N) by the parameters (C, P, N) of each, with the logarithm of the slope there (C, N)."""
        shift, log_scale = parameters[:, 0], bounded(parameters[:, 1])
        if not inverse:
            values, log_slope = values * log_scale.exp() + shift, log_scale
        if self.bins:
            widths, heights, slopes = parameters[:, 2:].split([self.bins, self.bins, self.bins - 1], 1)
            values, spline_log_slope = rational_quadratic_spline(values, widths, heights, slopes, SPLINE_BOUND, inverse)
            log_slope = spline_log_slope if inverse else log_slope + spline_log_slope
        if inverse:
            values = (values - shift) * (-log_scale).exp()
            log_slope = log_slope - log_scale if self.bins else -log_scale
        return values, log_slope


class _Conditioner(nn.Module):
    """A residual convolutional network, with a learned bias at each place, for images have a middle and edges."""

    def __init__(self, shape: tuple[int, int, int], hidden: int, blocks: int, outputs: int, dropout: float) -> None:
        super().__init__()
        channels, height, width = shape
        self.first = nn.Conv2d(channels // 2, hidden, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(hidden, height, width))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(),
                nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Conv2d(hidden, hidden, 1),
            )
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(hidden, outputs, 1)
        with torch.no_grad():
            for parameter in self.last.parameters():
                parameter.mul_(START_NEAR_IDENTITY)
        self.to(memory_format=torch.channels_last)  # twice as fast on a CPU

    def forward(self, kept: Tensor) -> Tensor:
        """(B, C, H, W) to (outputs, B H W): the last layer as a product, whose rows the transform then works along."""
        found = self.first(kept) + self.place  # a class's embedding would be added here
        for block in self.blocks:
            found = found + block(found)
        rows = functional.silu(found).permute(0, 2, 3, 1).reshape(-1, found.shape[1])
        assert self.last.bias is not None
        return torch.addmm(self.last.bias[:, None], self.last.weight.flatten(1), rows.T)
