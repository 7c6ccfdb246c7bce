"""A fixed, broad sampler: where chains start, what keeps a cost honest, the noise of NCE."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.event import Event, is_counted, per_coordinate
from lightning_irl.lattice import Lattice
from lightning_irl.samplers.base import Sampler


class BroadSampler(Sampler):
    """Nothing to learn: a Gaussian around the training data on a real support, uniform on a box, or over the levels of one.

    Of n levels in each of d coordinates every sample has the probability n^-d.

    Args:
        event: what one sample looks like.
        width: standard deviation over the training data's, in each coordinate; unused on a box.

    Example:
        >>> from lightning_irl.event import make_event
        >>> samples, log_q = BroadSampler(make_event("image", [1, 8, 8], support="box")).sample(3)
        >>> samples.shape, log_q.abs().tolist()
        (torch.Size([3, 1, 8, 8]), [0.0, 0.0, 0.0])
    """

    location: Tensor
    scale: Tensor

    def __init__(self, event: Event, width: float = 1.5) -> None:
        super().__init__(event)
        self.is_box = event["support"] == "box"
        self.lattice = Lattice(event) if is_counted(event) else None
        if self.is_box:
            location, scale = torch.full((self.dimension,), event["low"]), torch.full((self.dimension,), event["high"])
            scale = scale - location
        else:
            location, scale = per_coordinate(event["location"], event), width * per_coordinate(event["scale"], event)
        self.register_buffer("location", location)
        self.register_buffer("scale", scale)

    @torch.no_grad()
    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        if self.lattice is not None:
            device = self.location.device
            levels = torch.randint(self.lattice.levels, (num_samples, *self.shape), device=device)
            samples = self.lattice.to_samples(levels, self.location.dtype)
            return samples, self.log_prob(samples)
        noise = self.location.new_empty(num_samples, self.dimension)
        noise = noise.uniform_() if self.is_box else noise.normal_()
        samples = (self.location + self.scale * noise).view(num_samples, *self.shape)
        return samples, self.log_prob(samples)

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        return self.sample(num_samples)

    def log_prob(self, samples: Tensor) -> Tensor:
        if self.lattice is not None:
            uniform = samples.new_tensor(-self.dimension * math.log(self.lattice.levels))
            return torch.where(self.lattice.to_levels(samples)[1], uniform, -math.inf)
        standard = (samples.flatten(1) - self.location) / self.scale
        log_scale = self.scale.log().sum()
        if self.is_box:
            inside = ((standard >= 0) & (standard <= 1)).all(-1)
            return torch.where(inside, -log_scale, -math.inf)
        return -standard.square().sum(-1) / 2 - log_scale - self.dimension / 2 * math.log(2 * math.pi)
