"""The energy of EBGAN: how badly an autoencoder reconstructs a sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, silu

from lightning_irl.costs.anchor import Anchor
from lightning_irl.costs.base import Cost
from lightning_irl.networks import UpsamplingNetwork, mlp, resolutions
from lightning_irl.spaces.event import Event


class Encoder(nn.Module):
    """Images (B, C, H, W) to vectors (B, outputs): a convolution at each resolution, halved in between, then a linear
    layer.
    """

    def __init__(self, shape: Sequence[int], widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        height, width = resolutions(shape, len(widths))[-1]
        channels = [shape[0], *widths]
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(channels))
        self.last = nn.Linear(widths[-1] * height * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        for index, convolution in enumerate(self.convolutions):
            images = silu(convolution(avg_pool2d(images, 2) if index else images))
        vectors: Tensor = self.last(images.flatten(1))
        return vectors


class AutoencoderCost(Cost):
    r"""c(x) = 1/2 |decode(encode(x)) - x|^2 in standardised coordinates (Zhao, Mathieu and LeCun 2016, arXiv
    1609.03126).

    The sum over coordinates, not their mean: c is then minus the log density of a Gaussian around the reconstruction,
    with the standard deviation of the data, and so in nats. Another scale is the view's temperature.

    It is never negative, as the margin discriminator requires. The code goes through tanh, so that reconstructions are
    bounded and c grows quadratically: exp(-c) is integrable on a real support without an anchor.

    Convolutional for images of shape [C, H, W], a perceptron on the flattened sample for everything else.

    Args:
        event: what one sample looks like.
        code: number of coordinates of the code.
        widths: channels at each resolution of the encoder, halved after each but the last; sizes of its hidden layers
            where the samples are no images. The decoder mirrors them.

    Raises:
        ValueError: if images are too small to be halved that often.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> AutoencoderCost(make_event("image", [1, 8, 8], support="box"))(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5])
    """

    is_nonnegative = True

    def __init__(self, event: Event, code: int = 16, widths: Sequence[int] = (32, 64)) -> None:
        super().__init__(event)
        self.standardise = Anchor(event, enabled=False)
        self.is_image = self.space.is_image and self.space.has_channels
        mirrored = [*widths][::-1]
        self.encoder: nn.Module
        self.decoder: nn.Module
        if self.is_image:
            try:
                self.encoder = Encoder(self.shape, widths, code)
            except ValueError as error:
                raise ValueError(f"AutoencoderCost: {error}; give fewer widths") from None
            self.decoder = UpsamplingNetwork(code, self.shape, mirrored)
        else:
            self.encoder = mlp([self.dimension, *widths, code])
            self.decoder = mlp([code, *mirrored, self.dimension])

    def encode(self, samples: Tensor) -> Tensor:
        """Codes (B, code) of samples (B, *shape), each coordinate between -1 and 1."""
        standard, _ = self.standardise(samples)
        return torch.tanh(self.encoder(standard.view(-1, *self.shape) if self.is_image else standard))

    def decode(self, codes: Tensor) -> Tensor:
        """Reconstructions (B, d), standardised and flattened, of codes (B, code)."""
        reconstructions: Tensor = self.decoder(codes)
        return reconstructions.flatten(1)

    def forward(self, samples: Tensor) -> Tensor:
        standard, _ = self.standardise(samples)
        return (self.decode(self.encode(samples)) - standard).square().sum(-1) / 2
