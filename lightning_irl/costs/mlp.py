"""A multilayer perceptron's cost."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from lightning_irl.costs.anchor import Anchor
from lightning_irl.costs.base import Cost
from lightning_irl.networks import mlp
from lightning_irl.spaces.event import Event


class MLPCost(Cost):
    r"""c(x) = f((x - m) / s) + |x - m|^2 / (2 s^2), f a perceptron with SiLU on the flattened sample.

    Args:
        event: what one sample looks like.
        hidden: sizes of the hidden layers.
        spectral: constrain every layer's spectral norm to 1 (Miyato et al. 2018, arXiv 1802.05957).
        anchor: add the quadratic that makes exp(-c) integrable on a real support.

    Example:
        >>> import torch
        >>> from lightning_irl.spaces.event import make_event
        >>> MLPCost(make_event("point", [2]))(torch.zeros(5, 2)).shape
        torch.Size([5])
    """

    def __init__(
        self, event: Event, hidden: Sequence[int] = (128, 128), spectral: bool = False, anchor: bool = True
    ) -> None:
        super().__init__(event)
        self.anchor = Anchor(event, anchor)
        self.network = mlp([self.dimension, *hidden, 1])
        if spectral:
            for layer in self.network:
                if isinstance(layer, nn.Linear):
                    spectral_norm(layer)

    def forward(self, samples: Tensor) -> Tensor:
        standard, anchor = self.anchor(samples)
        return self.network(standard).squeeze(-1) + anchor
