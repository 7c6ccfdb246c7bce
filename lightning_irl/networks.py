"""Networks that costs and samplers share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from lightning_irl.limits import at_least


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.SiLU) -> nn.Sequential:
    """Linear layers of the given sizes with an activation between them.

    Raises:
        ValueError: if a layer has no units.

    Example:
        >>> len(mlp([2, 128, 128, 1]))
        5
    """
    if min(sizes) < 1:
        raise ValueError(
            f"a network has hidden layers of {', '.join(map(str, sizes[1:-1]))} units; each must have at least 1"
        )
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class UpsamplingNetwork(nn.Module):
    """Maps vectors to images: a linear layer to the lowest resolution, then a convolution at each doubled resolution.

    Upsampling is by nearest neighbours: a convolution after it makes no checkerboard artifacts, which a transposed one
    can make (Odena, Dumoulin and Olah 2016, "Deconvolution and checkerboard artifacts").

    Args:
        inputs: size of a vector.
        shape: [C, H, W] of an image.
        widths: channels at each resolution, the lowest first; odd sides are halved and rounded down.

    Raises:
        ValueError: if the shape is not that of an image, or too small for so many halvings.

    Example:
        >>> import torch
        >>> UpsamplingNetwork(16, [1, 28, 28], [32, 16, 8])(torch.zeros(5, 16)).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(self, inputs: int, shape: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        at_least(1, size_of_a_vector=inputs, channels=min(widths, default=0))
        self.sizes = resolutions(shape, len(widths))[::-1]
        self.width = widths[0]
        height, width = self.sizes[0]
        self.first = nn.Linear(inputs, widths[0] * height * width)
        channels = [*widths, shape[0]]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(channels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Unbounded images (B, C, H, W) from vectors (B, inputs)."""
        images = self.first(vectors).view(-1, self.width, *self.sizes[0])
        for convolution, size in zip(self.convolutions, [*self.sizes[1:], None], strict=True):
            images = convolution(silu(images))
            if size is not None:
                images = interpolate(images, size=size, mode="nearest")
        return images


def resolutions(shape: Sequence[int], number: int) -> list[tuple[int, int]]:
    """Sides (H, W) of an image and of its halves, ``number`` of them, the largest first.

    Raises:
        ValueError: if the shape is not that of an image, or too small for so many halvings.

    Example:
        >>> resolutions([3, 5, 7], 3)
        [(5, 7), (2, 3), (1, 1)]
    """
    if len(shape) != 3:
        raise ValueError(f"images have the shape [C, H, W], the data has {list(shape)}")
    _, height, width = shape
    if not number or min(height, width) >> (number - 1) < 1:
        raise ValueError(f"{number} widths halve images {number - 1} times, which {height}x{width} does not allow")
    return [(height >> halving, width >> halving) for halving in range(number)]
