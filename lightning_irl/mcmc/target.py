"""The model as a density that chains can move on, in coordinates that cover all of R^d."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.transport import Transport, standard_normal_log_prob
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.support import RealSupport, support_of


class Target(abc.ABC):
    """exp(-c) in coordinates on R^d, positions (B, d).

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        event: what a sample looks like.
    """

    def __init__(self, cost: CostFunction, event: Event) -> None:
        self.energy, self.event = as_energy(cost), event
        self.shape = tuple(event["shape"])

    @abc.abstractmethod
    def to_position(self, samples: Tensor) -> Tensor:
        """Samples (B, *shape) as positions (B, d)."""

    @abc.abstractmethod
    def constrain(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Positions as samples (B, *shape), with log |d sample / d position| (B,), in nats."""

    @abc.abstractmethod
    def potential(self, position: Tensor) -> Tensor:
        """U at positions (B, d): minus the log of exp(-c) as a density there, without the 1/Z; (B,), in nats."""

    @abc.abstractmethod
    def beside(self, start: Sampler, position: Tensor) -> tuple[Tensor, Tensor]:
        """log densities (B,) of a sampler and of exp(-c) at positions, both as densities there."""

    @torch.no_grad()
    def to_samples(self, position: Tensor) -> Tensor:
        """Positions (B, d) as samples (B, *shape)."""
        return self.constrain(position)[0]


class SampleTarget(Target):
    """Coordinates are the sample's own; on a box, through :func:`lightning_irl.spaces.support.support_of`."""

    def __init__(self, cost: CostFunction, event: Event) -> None:
        super().__init__(cost, event)
        self.support = support_of(event)

    def to_position(self, samples: Tensor) -> Tensor:
        return self.support.unconstrain(samples.detach().reshape(len(samples), -1))[0]

    def constrain(self, position: Tensor) -> tuple[Tensor, Tensor]:
        samples, log_det = self.support.constrain(position)
        return samples.reshape(len(position), *self.shape), log_det

    def potential(self, position: Tensor) -> Tensor:
        if isinstance(self.support, RealSupport):  # coordinates as they are, in the innermost loop of every chain
            return self.energy(position if len(self.shape) == 1 else position.reshape(len(position), *self.shape))
        samples, log_det = self.constrain(position)
        return self.energy(samples) - log_det

    def beside(self, start: Sampler, position: Tensor) -> tuple[Tensor, Tensor]:
        samples, log_det = self.constrain(position)
        log_q = start.log_prob(samples)
        return log_q + log_det, log_det - self.energy.relative(samples, start, log_q)


class BaseTarget(Target):
    r"""Coordinates are a transport's base: x = g(z), in which the transport is standard normal.

    .. math:: U(z) = c(g(z)) - \log \left|\tfrac{\partial g}{\partial z}\right|

    Where the transport is near the model, this is near a standard normal, so that one step size fits every direction;
    modes that the transport joins are joined for the chains.

    Source: Hoffman and others, "NeuTra-lizing bad geometry in Hamiltonian Monte Carlo using neural transport" (2019),
    arXiv 1903.03704; Nijkamp and others, "MCMC should mix: learning energy-based model with neural transport latent
    space MCMC" (2022), arXiv 2006.06897.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        transport: whose base; its own parameters are held constant.
    """

    def __init__(self, cost: CostFunction, transport: Transport) -> None:
        super().__init__(cost, transport.event)
        self.transport = transport

    @torch.no_grad()
    def to_position(self, samples: Tensor) -> Tensor:
        return self.transport.to_base(samples)[0]

    def constrain(self, position: Tensor) -> tuple[Tensor, Tensor]:
        return self.transport.from_base(position)

    def potential(self, position: Tensor) -> Tensor:
        return self._both(position)[1]

    def beside(self, start: Sampler, position: Tensor) -> tuple[Tensor, Tensor]:
        if start is self.transport:
            log_base, potential = self._both(position)
            return log_base, -potential
        samples, log_det = self.constrain(position)
        log_q = start.log_prob(samples)
        return log_q + log_det, log_det - self.energy.relative(samples, start, log_q)

    def _both(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """log density of the base (B,), and U (B,)."""
        samples, log_det = self.constrain(position)
        log_base = standard_normal_log_prob(position)
        cost = self.energy.relative(samples, self.transport, log_base - log_det)
        return log_base, cost - log_det


def target_from(cost: CostFunction, start: Sampler, event: Event | None = None) -> Target:
    """exp(-c) in the coordinates that suit chains from a sampler: its base where a draw takes one pass, else the
    sample's own.
    """
    if isinstance(start, Transport) and start.is_one_pass:
        return BaseTarget(cost, start)
    return SampleTarget(cost, start.event if event is None else event)
