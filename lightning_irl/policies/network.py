"""Policies whose parameters come from a network of the observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lightning_irl.networks import mlp
from lightning_irl.policies.base import Policy
from lightning_irl.spaces.event import Event

LAST_GAIN = 0.01  # of the last layer's weights at the start, so that every observation starts with the same actions


class NetworkPolicy(Policy):
    """A perceptron on the standardised observation.

    Args:
        event: of the trajectories.
        outputs: number of parameters of an action's distribution.
        hidden: sizes of the hidden layers.
        activation: between them.
        sees_time: give the network the share of the horizon that is left.
        network: a network of your own, called with the number of inputs and of outputs, in place of the perceptron; it
            takes flattened standardised observations (..., inputs).
    """

    location: Tensor
    scale: Tensor

    def __init__(
        self,
        event: Event,
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        sees_time: bool = False,
        network: Callable[[int, int], nn.Module] | None = None,
    ) -> None:
        super().__init__(event)
        self.sees_time = sees_time
        self.register_buffer("location", self.space.observation_location)
        self.register_buffer("scale", self.space.observation_scale)
        inputs = self.space.observation_size + sees_time
        if network is None:
            self.network: nn.Module = mlp([inputs, *hidden, outputs], activation)
            with torch.no_grad():
                self.network[-1].weight.mul_(LAST_GAIN)  # type: ignore[index, union-attr, operator]
                self.network[-1].bias.zero_()  # type: ignore[index, union-attr, operator]
        else:
            self.network = network(inputs, outputs)

    def outputs(self, observation: Tensor, time: Tensor) -> Tensor:
        """The network's outputs (..., outputs)."""
        features = (observation.flatten(time.ndim) - self.location) / self.scale
        if self.sees_time:
            left = 1 - 2 * time.to(features.dtype) / self.horizon
            features = torch.cat([features, left[..., None]], -1)
        found: Tensor = self.network(features)
        return found
