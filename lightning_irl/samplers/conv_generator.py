"""A convolutional network with no density: the generator of an ordinary GAN of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_irl.networks import UpsamplingNetwork
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


class ConvGenerator(Sampler):
    """x = g(z), g an upsampling network and z standard normal; its density is intractable.

    After DCGAN (Radford, Metz and Chintala 2016, arXiv 1511.06434), with doubling by nearest neighbours in place of
    transposed convolutions, and no normalisation over the batch, so that draws are independent. On a box g ends in its
    sigmoid.

    Args:
        event: what one image looks like; shape [C, H, W].
        latent: number of coordinates of z.
        widths: channels at each resolution, the lowest first; the image is doubled after each but the last.

    Raises:
        ValueError: if the event is not an image of three dimensions, or too small to be halved that often.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> ConvGenerator(make_event("image", [1, 28, 28], support="box"), widths=[32, 16, 8]).sample(5)[0].shape
        torch.Size([5, 1, 28, 28])
    """

    has_density = False

    location: Tensor
    scale: Tensor

    def __init__(self, event: Event, latent: int = 32, widths: Sequence[int] = (64, 32)) -> None:
        super().__init__(event)
        self.space.require_continuous("ConvGenerator")
        try:
            self.network = UpsamplingNetwork(latent, self.shape, widths)
        except ValueError as error:
            raise ValueError(f"ConvGenerator: {error}; give other widths, or use GeneratorSampler") from None
        self.support, self.latent = self.space.support, latent
        on_box = self.space.edges is not None
        location, scale = ((0.0,), (1.0,)) if on_box else (self.space.given_location, self.space.given_scale)
        self.register_buffer("location", torch.tensor(location))
        self.register_buffer("scale", torch.tensor(scale))

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, None]:
        return self.rsample(num_samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, None]:
        noise = torch.randn(num_samples, self.latent, dtype=self.scale.dtype, device=self.scale.device)
        samples, _ = self.support.constrain(self.location + self.scale * self.network(noise).flatten(1))
        return samples.view(num_samples, *self.shape), None
