"""The geometric path between a sampler and the model, in coordinates on R^d."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.costs.energy import CostFunction
from lightning_irl.mcmc.kernel import ChainState, Potential, gradient_at, gradients_enabled
from lightning_irl.mcmc.target import target_from
from lightning_irl.samplers.base import Sampler
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of


class GeometricPath:
    r"""Densities between q and exp(-c), at inverse temperatures beta from 0 to 1.

    .. math:: \log \pi_\beta(x) = (1 - \beta) \log q(x) - \beta c(x)

    Chains live on R^d (:mod:`lightning_irl.mcmc.target`), and densities carry the log-determinant, so that integrals
    are the same: in the base of q where a draw of it takes one pass (:class:`~lightning_irl.mcmc.target.BaseTarget`),
    else in the sample's own coordinates.

    Args:
        cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats.
        start: a sampler with a density.
        event: what a sample looks like; default the sampler's.

    Raises:
        ValueError: if the sampler has no density, or the event is one of discrete levels, where nothing has a gradient.
    """

    def __init__(self, cost: CostFunction, start: Sampler, event: Event | None = None) -> None:
        require_density(start)
        event = start.event if event is None else event
        space_of(event).require_continuous("an annealed path")
        self.start = start
        self.target = target_from(cost, start, event)

    def draw_start(self, num_samples: int) -> Tensor:
        """Exact draws of q, positions (B, d)."""
        with torch.no_grad():
            samples, _ = self.start.sample(num_samples)
        return self.target.to_position(samples)

    def to_position(self, samples: Tensor) -> Tensor:
        """Samples (B, *shape) as positions (B, d)."""
        return self.target.to_position(samples)

    def to_samples(self, position: Tensor) -> Tensor:
        """Positions (B, d) as samples (B, *shape)."""
        return self.target.to_samples(position)

    def ends(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """log q and -c at positions, (B,) each."""
        return self.target.beside(self.start, position)

    def potential(self, beta: float) -> Potential:
        """Minus the log density at ``beta``: positions (B, d) -> (B,)."""
        if beta >= 1:
            return self.target.potential
        return lambda position: self._mix(beta, *self.ends(position))

    @staticmethod
    def _mix(beta: float, log_q: Tensor, log_model: Tensor) -> Tensor:
        return (beta - 1) * log_q - beta * log_model if beta > 0 else -log_q

    def state(self, position: Tensor, beta: float) -> tuple[ChainState, Tensor]:
        r"""Chains at ``position`` ready to move at ``beta``, and the weight of the path there.

        Returns:
            The state, and :math:`d \log \pi_\beta / d\beta = -c - \log q` (B,), float64, from the same evaluation.
        """
        with gradients_enabled():
            position = position.clone().detach().requires_grad_(True)
            log_q, log_model = self.ends(position)
            value = self._mix(beta, log_q, log_model)
            gradient = gradient_at(value, position)
        slope = log_model.detach().to(torch.float64) - log_q.detach().to(torch.float64)
        return ChainState(position.detach(), value.detach(), gradient), slope


def require_density(sampler: Sampler) -> None:
    """Refuse a sampler whose log q is unknown.

    Raises:
        ValueError: naming the sampler.
    """
    if not sampler.has_density:
        raise ValueError(
            f"sampler {type(sampler).__name__} has no density; estimates of log Z from it need one: use a flow, "
            "or start annealed chains from lightning_irl.samplers.broad.BroadSampler"
        )
