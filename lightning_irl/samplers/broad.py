"""A fixed, broad sampler: the start of chains, the broad part of a defensive mixture, the noise of NCE."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event


class BroadSampler(Sampler):
    """A fixed distribution: a Gaussian around the training data on a real support, uniform on a box or over its levels.

    With n levels in each of d coordinates, every sample has probability n^-d.

    Args:
        event: what one sample looks like.
        width: standard deviation over the training data's, in each coordinate; unused on a box.

    Example:
        >>> from lightning_irl.spaces.event import make_event
        >>> samples, log_q = BroadSampler(make_event("image", [1, 8, 8], support="box")).sample(3)
        >>> samples.shape, log_q.abs().tolist()
        (torch.Size([3, 1, 8, 8]), [0.0, 0.0, 0.0])
    """

    location: Tensor
    scale: Tensor

    def __init__(self, event: Event, width: float = 1.5) -> None:
        super().__init__(event)
        self.lattice, edges = self.space.lattice, self.space.edges
        self.is_box = edges is not None
        location, scale = self.space.location, width * self.space.scale
        if edges is not None:
            location, high = (torch.full((self.dimension,), edge) for edge in edges)
            scale = high - location
        self.register_buffer("location", location)
        self.register_buffer("scale", scale)

    def sample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        if self.lattice is not None:
            device = self.location.device
            levels = torch.randint(self.lattice.levels, (num_samples, *self.shape), device=device)
            samples = self.lattice.to_samples(levels, self.location.dtype)
            return samples, self.log_prob(samples)
        noise = self._noise(num_samples)
        return self._place(noise), self._log_prob_of(noise)

    def draw(self, num_samples: int) -> Tensor:
        """Samples (num_samples, *shape) as of :meth:`sample`, without log q."""
        return self.sample(num_samples)[0] if self.lattice is not None else self._place(self._noise(num_samples))

    def _noise(self, num_samples: int) -> Tensor:
        noise = self.location.new_empty(num_samples, self.dimension)
        return noise.uniform_() if self.is_box else noise.normal_()

    def _place(self, standard: Tensor) -> Tensor:
        return torch.addcmul(self.location, self.scale, standard).view(len(standard), *self.shape)

    def rsample(self, num_samples: int) -> tuple[Tensor, Tensor]:
        return self.sample(num_samples)

    def log_prob(self, samples: Tensor) -> Tensor:
        if self.lattice is not None:
            uniform = samples.new_tensor(-self.dimension * math.log(self.lattice.levels))
            return torch.where(self.lattice.to_levels(samples)[1], uniform, -math.inf)
        standard = (samples.flatten(1) - self.location) / self.scale
        log_q = self._log_prob_of(standard)
        if self.is_box:
            log_q = torch.where(((standard >= 0) & (standard <= 1)).all(-1), log_q, -math.inf)
        return log_q

    def _log_prob_of(self, standard: Tensor) -> Tensor:
        """log q (B,) of standardised samples (x - location) / scale (B, d); on a box, of samples inside it."""
        log_scale = self.scale.log().sum()
        if self.is_box:
            return -log_scale.expand(standard.shape[0])
        log_peak = -self.dimension / 2 * math.log(2 * math.pi) - log_scale
        return torch.sub(log_peak, standard.square().sum(-1), alpha=0.5)
