"""An autoregressive sampler of images of discrete levels, with its exact probability."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.pixel_cnn import PixelCNN
from lightning_irl.samplers.pixel_likelihood import Categorical, DiscretisedLogistics, PixelLikelihood
from lightning_irl.spaces.event import Event

MOST_CATEGORIES = 32  # levels up to which each gets a probability of its own by default
START_NEAR_CONSTANT = 0.1  # factor on the last layers' weights at the start, so that every pixel starts broad


class AutoregressiveSampler(Sampler):
    r"""q(x) = prod_i q(x_i | x_1 .. x_{i-1}), pixels in raster order and channels innermost, by a gated PixelCNN.

    .. math:: \log q(x) = \sum_i \log q(x_i \mid x_{<i})

    is an exact log probability, at most 0: one of the tractable samplers of the paper's section 4. A draw takes one
    step per pixel. Draws have no gradient, so the learner is ScoreFunction.

    van den Oord et al. 2016 (arXiv 1601.06759, 1606.05328); the mixture of logistics Salimans et al. 2017 (arXiv
    1701.05517).

    Args:
        event: what one image looks like; shape [C, H, W], base measure counting.
        likelihood: of one pixel's level: ``categorical`` (a probability for each; the default up to 32 levels) or
            ``logistics`` (a discretised mixture, which knows that levels are ordered; the default above).
        features: channels of the network.
        blocks: its gated blocks; a pixel's distribution depends on ``kernel // 2 + blocks`` rows above it, and in its
            own row on ``kernel // 2 + 2 * blocks`` pixels.
        kernel: side of its first convolutions, odd and at least 3.
        components: of the mixture of logistics.
        dropout: share of units dropped while the sampler is in training mode, which views use for likelihood terms
            alone.

    Raises:
        ValueError: if the event is no counted image of three dimensions, or an argument is not allowed.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> event = make_event("image", [1, 4, 4], support="box", base_measure="counting", levels=3)
        >>> samples, log_q = AutoregressiveSampler(event).sample(5)
        >>> samples.shape, bool((log_q < 0).all())
        (torch.Size([5, 1, 4, 4]), True)
    """

    has_rsample = False

    def __init__(
        self,
        event: Event,
        likelihood: Literal["categorical", "logistics"] | None = None,
        features: int = 32,
        blocks: int = 4,
        kernel: int = 5,
        components: int = 5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(event)
        space = self.space
        if not (space.is_image and space.has_channels and space.lattice):
            raise ValueError(
                "AutoregressiveSampler draws images [C, H, W] of discrete levels; the event is of kind "
                f"{space.kind}, shape {list(space.shape)} and base measure {space.base_measure}: serve counted "
                "images, as DigitsDataModule does with transform=discrete, or use FlowSampler"
            )
        if likelihood not in (None, "categorical", "logistics"):
            raise ValueError(f"AutoregressiveSampler likelihood is {likelihood!r}; allowed: categorical, logistics")
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"AutoregressiveSampler kernel is {kernel}; it must be odd and at least 3")
        if min(features, blocks, components) < 1:
            raise ValueError("AutoregressiveSampler features, blocks and components must be at least 1")
        self.lattice = space.lattice
        levels = self.lattice.levels
        if likelihood is None:
            likelihood = "categorical" if levels <= MOST_CATEGORIES else "logistics"
        self.likelihood: PixelLikelihood = (
            Categorical(levels) if likelihood == "categorical" else DiscretisedLogistics(levels, components)
        )
        self.network = PixelCNN(self.shape, features, blocks, kernel, dropout)
        self.heads = nn.ModuleList(self._head(features, channel, dropout) for channel in range(self.shape[0]))

    def _head(self, features: int, channel: int, dropout: float) -> nn.Sequential:
        """From features of the past and the pixel's own earlier channels to the parameters of a
        channel's distribution.
        """
        last = nn.Conv2d(features, self.likelihood.outputs, 1)
        with torch.no_grad():
            last.weight.mul_(START_NEAR_CONSTANT)
        last.bias = nn.Parameter(self.likelihood.start())
        return nn.Sequential(nn.Conv2d(features + channel, features, 1), nn.SiLU(), nn.Dropout(dropout), last)

    def _parameters_of(self, channel: int, features: Tensor, pixels: Tensor) -> Tensor:
        """Parameters (B, R, W, outputs) of a channel's distributions, given features of the past and the pixels
        themselves, of which only earlier channels are looked at."""
        parameters: Tensor = self.heads[channel](torch.cat([silu(features), pixels[:, :channel]], 1))
        return parameters.movedim(1, -1)

    def _centred(self, levels: Tensor, dtype: torch.dtype) -> Tensor:
        """Levels scaled to [-1, 1], as the network takes them."""
        return (2 * levels.to(dtype) + 1) / self.lattice.levels - 1

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        network, (channels, height, width) = self.network, self.shape
        reach = network.reach
        # zero above and to the left, as beyond the edges of the images that log_prob scores
        images = network.place.new_zeros(num_samples, channels, reach + height, reach + width)
        levels = torch.zeros(num_samples, *self.shape, dtype=torch.long, device=images.device)
        log_q = images.new_zeros(num_samples)
        rows = network.before_rows(num_samples)
        for row in range(height):
            links = network.next_row(images[:, :, row : row + reach, reach:], row, rows)
            pixels = network.before_pixels(num_samples)
            own = images[:, :, reach + row : reach + row + 1]
            for column in range(width):
                here = [link[..., column : column + 1] for link in links]
                features = network.next_pixel(own[..., column : column + reach], here, pixels)
                pixel = own[..., reach + column : reach + column + 1]
                for channel in range(channels):
                    parameters = self._parameters_of(channel, features, pixel)[:, 0, 0]
                    drawn = self.likelihood.sample(parameters)
                    log_q += self.likelihood.log_prob(parameters, drawn)
                    levels[:, channel, row, column] = drawn
                    pixel[:, channel, 0, 0] = self._centred(drawn, images.dtype)
        return self.lattice.to_samples(levels, images.dtype), log_q

    def log_prob(self, samples: Tensor) -> Tensor:
        """log probability of samples (B, C, H, W), (B,), in nats; -inf off the lattice. It has no gradient in the
        samples.
        """
        levels, is_on_lattice = self.lattice.to_levels(samples)
        images = self._centred(levels, self.network.place.dtype)
        features = self.network(images)
        log_q = torch.stack(
            [
                self.likelihood.log_prob(self._parameters_of(channel, features, images), levels[:, channel])
                for channel in range(len(self.heads))
            ]
        ).sum((0, 2, 3))
        return torch.where(is_on_lattice, log_q, -math.inf)
