"""The quadratic that makes exp(-c) integrable on an unbounded event."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of


class Anchor(nn.Module):
    r"""Standardises samples, and adds :math:`|x - m|^2 / (2 s^2)` to a network's cost.

    A network's cost on R^d need not be integrable; one that grows at most linearly is, once the anchor is added. m and
    s are the location and scale of the training data, from the event. On a box exp(-c) is integrable anyway, and the
    anchor is zero.

    Args:
        event: what one sample looks like.
        enabled: whether to add the quadratic (on a real support).
    """

    location: Tensor
    scale: Tensor

    def __init__(self, event: Event, enabled: bool = True) -> None:
        super().__init__()
        space = space_of(event)
        self.enabled = enabled and space.edges is None
        self.register_buffer("location", space.location)
        self.register_buffer("scale", space.scale)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Standardise samples (B, *shape).

        Returns:
            Standardised samples (B, d) and the anchor's cost (B,), in nats.
        """
        standard = (samples.flatten(1) - self.location) / self.scale
        cost = standard.square().sum(-1) / 2 if self.enabled else torch.zeros_like(standard[:, 0])
        return standard, cost
