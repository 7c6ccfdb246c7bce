"""A network with no density: the generator of an ordinary GAN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_irl.networks import mlp
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


class GeneratorSampler(Sampler):
    """x = g(z), g a perceptron and z standard normal; its density is intractable.

    Args:
        event: what one sample looks like.
        latent: number of coordinates of z.
        hidden: sizes of the hidden layers.

    Raises:
        ValueError: if the event is one of discrete levels.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> GeneratorSampler(make_event("point", [2])).sample(5)[1] is None
        True
    """

    has_density = False

    location: Tensor
    scale: Tensor

    def __init__(self, event: Event, latent: int = 32, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__(event)
        self.space.require_continuous("GeneratorSampler")
        self.support = self.space.support
        self.latent = latent
        self.network = mlp([latent, *hidden, self.dimension])
        on_box = self.space.edges is not None
        self.register_buffer("location", torch.zeros(()) if on_box else self.space.location)
        self.register_buffer("scale", torch.ones(()) if on_box else self.space.scale)

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, None]:
        return self.rsample(num_samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, None]:
        noise = torch.randn(num_samples, self.latent, dtype=self.scale.dtype, device=self.scale.device)
        samples, _ = self.support.constrain(self.location + self.scale * self.network(noise))
        return samples.view(num_samples, *self.shape), None
