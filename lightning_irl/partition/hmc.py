"""Hamiltonian Monte Carlo on any differentiable log density, as functions of an explicit state.

Parameters of the density (a cost's weights) are frozen: the gradient is taken with respect to positions only and
nothing is accumulated in ``.grad``. Works inside ``torch.no_grad`` and ``torch.inference_mode``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]


class HMCState(NamedTuple):
    """Where the chains are.

    Attributes:
        position: (B, d) on R^d.
        log_density: (B,) at the position, up to a constant, in nats.
        gradient: (B, d) of the log density.
    """

    position: Tensor
    log_density: Tensor
    gradient: Tensor


class HMCInfo(NamedTuple):
    """What one move did.

    Attributes:
        acceptance: (B,) probability with which the proposal was accepted.
        accepted: (B,) bool.
        energy_error: (B,) change of the total energy along the trajectory, in nats; ``inf`` where it diverged.
    """

    acceptance: Tensor
    accepted: Tensor
    energy_error: Tensor


@contextmanager
def gradients_enabled() -> Iterator[None]:
    """Autograd on, whatever the caller switched off (validation loops run in inference mode)."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def value_and_gradient(log_density: LogDensity, position: Tensor) -> tuple[Tensor, Tensor]:
    """log density (B,) and its gradient (B, d), both detached."""
    with gradients_enabled():
        position = position.clone().detach().requires_grad_(True)
        value = log_density(position)
        gradient = gradient_at(value, position)
    return value.detach(), gradient


def gradient_at(value: Tensor, position: Tensor) -> Tensor:
    """Gradient (B, d) of ``value`` (B,) in ``position`` alone; zero where the value does not depend on it (a flat cost)."""
    if not value.requires_grad:
        return torch.zeros_like(position)
    (gradient,) = torch.autograd.grad(value.sum(), position, allow_unused=True)
    return torch.zeros_like(position) if gradient is None else gradient


def init(position: Tensor, log_density: LogDensity) -> HMCState:
    """State of chains at ``position`` (B, d) for the target ``log_density`` (B, d) -> (B,)."""
    value, gradient = value_and_gradient(log_density, position)
    return HMCState(position.detach(), value, gradient)


def step(
    state: HMCState,
    log_density: LogDensity,
    step_size: float | Tensor,
    leapfrog_steps: int = 4,
    mass: Tensor | None = None,
    jitter: float = 0.25,
) -> tuple[HMCState, HMCInfo]:
    r"""One move: new momenta, a leapfrog trajectory, acceptance.

    .. math:: H(x, p) = -\log \pi(x) + \tfrac12 \sum_i p_i^2 / m_i, \qquad
              \alpha = \min(1, e^{H(x, p) - H(x', p')})

    Leaves the target invariant, and is reversible with respect to it, for any step size and mass that do not depend on
    the current state. A step size adapted *while* the chains run depends on it: adapt in a pilot run and keep it fixed
    in the run whose draws are used (:mod:`lightning_irl.partition.pilot` does so).

    Args:
        state: the chains.
        log_density: the same target for which the state was made.
        step_size: one number.
        leapfrog_steps: gradient evaluations of the move.
        mass: (d,) diagonal of the mass matrix, one per coordinate; the best is the curvature, 1 / variance. Default 1.
        jitter: each chain's step size is multiplied by a uniform draw from [1 - jitter, 1 + jitter], so that no
            trajectory closes on itself.

    Returns:
        The new state, and what happened. A proposal with a log density that is not finite is rejected.

    Sources: Duane, Kennedy, Pendleton and Roweth (1987); Neal, "MCMC using Hamiltonian dynamics" (2011), arXiv
    1206.1901.
    """
    position, gradient = state.position, state.gradient
    inverse_mass = torch.ones_like(position[0]) if mass is None else 1 / mass
    momentum = torch.randn_like(position) / inverse_mass.sqrt()
    sizes = step_size * (1 + jitter * (2 * torch.rand_like(position[:, :1]) - 1))
    start = _kinetic(momentum, inverse_mass) - state.log_density
    value = state.log_density
    drift = sizes * inverse_mass
    momentum = momentum + 0.5 * sizes * gradient
    for index in range(leapfrog_steps):
        position = position + drift * momentum
        value, gradient = value_and_gradient(log_density, position)
        momentum = momentum + (sizes if index + 1 < leapfrog_steps else 0.5 * sizes) * gradient
    error = _kinetic(momentum, inverse_mass) - value - start
    # A chain may start where the density is zero (error -inf: go); it may never end there, nor where a gradient is not
    # finite.
    usable = torch.isfinite(value) & torch.isfinite(gradient).all(-1) & ~torch.isnan(error)
    error = torch.where(usable, error, torch.inf)
    acceptance = torch.exp(-error.clamp(min=0))
    accepted = torch.rand_like(acceptance) < acceptance
    keep = accepted[:, None]
    moved = HMCState(
        torch.where(keep, position, state.position),
        torch.where(accepted, value, state.log_density),
        torch.where(keep, gradient, state.gradient),
    )
    return moved, HMCInfo(acceptance, accepted, error)


def _kinetic(momentum: Tensor, inverse_mass: Tensor) -> Tensor:
    return 0.5 * (momentum.square() * inverse_mass).sum(-1)
