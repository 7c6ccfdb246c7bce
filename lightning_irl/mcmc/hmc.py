"""Hamiltonian Monte Carlo."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.limits import above
from lightning_irl.mcmc.kernel import (
    ChainState,
    Kernel,
    MoveInfo,
    Potential,
    Size,
    broadcast,
    each_sum,
    metropolis,
    value_and_gradient,
)


def step(
    state: ChainState,
    potential: Potential,
    step_size: Size,
    leapfrog_steps: int = 4,
    mass: Tensor | None = None,
    jitter: float = 0.25,
) -> tuple[ChainState, MoveInfo]:
    r"""One move: new momenta, a leapfrog trajectory, acceptance.

    .. math:: H(x, p) = U(x) + \tfrac12 \sum_i p_i^2 / m_i, \qquad
              \alpha = \min(1, e^{H(x, p) - H(x', p')})

    Leaves the target invariant, and is reversible with respect to it, for any step size and mass that do not depend on
    the current state. A step size adapted *while* the chains run depends on it: adapt in a pilot run and keep it fixed
    in the run whose draws are used (:mod:`lightning_irl.partition.pilot` does so).

    Args:
        state: the chains, (B, *shape).
        potential: U, the same for which the state was made.
        step_size: one number.
        leapfrog_steps: gradient evaluations of the move.
        mass: (*shape) diagonal of the mass matrix, one per coordinate; the best is the curvature, 1 / variance. Default
            1.
        jitter: each chain's step size is multiplied by a uniform draw from [1 - jitter, 1 + jitter], so that no
            trajectory closes on itself.

    Returns:
        The new state, and what happened. A proposal with a potential that is not finite is rejected.

    Sources: Duane, Kennedy, Pendleton and Roweth (1987); Neal, "MCMC using Hamiltonian dynamics" (2011), arXiv
    1206.1901.
    """
    position, value, gradient = state
    momentum = torch.randn_like(position)
    drift = sizes = step_size * broadcast(1 + jitter * (2 * torch.rand_like(value) - 1), position)
    if mass is not None:
        momentum, drift = momentum * mass.sqrt(), sizes / mass
    start = _kinetic(momentum, mass) + value
    momentum = torch.addcmul(momentum, sizes, gradient, value=-0.5)
    for index in range(leapfrog_steps):
        position = torch.addcmul(position, drift, momentum)
        value, gradient = value_and_gradient(potential, position)
        momentum = torch.addcmul(momentum, sizes, gradient, value=-1.0 if index + 1 < leapfrog_steps else -0.5)
    error = _kinetic(momentum, mass) + value - start
    return metropolis(state, ChainState(position, value, gradient), error)


def _kinetic(momentum: Tensor, mass: Tensor | None) -> Tensor:
    return 0.5 * each_sum(momentum.square() if mass is None else momentum.square() / mass)


class HMC(Kernel):
    """Hamiltonian Monte Carlo with unit mass, see :func:`step`; exact at the model whatever the step size.

    Args:
        step_size: of the first move's leapfrog steps; from there it is adapted.
        leapfrog_steps: gradient evaluations of a move.
        target_acceptance: what the step size is adapted to; None to keep it.
        jitter: share by which each chain's step size varies.

    Raises:
        ValueError: if a value is not allowed.
    """

    def __init__(
        self,
        step_size: float = 0.1,
        leapfrog_steps: int = 3,
        target_acceptance: float | None = 0.8,
        jitter: float = 0.25,
    ) -> None:
        if leapfrog_steps < 1:
            raise ValueError(f"HMC leapfrog_steps is {leapfrog_steps}; it must be at least 1")
        above(0, "HMC ", step_size=step_size)
        self.step_size, self.leapfrog_steps = step_size, leapfrog_steps
        self.target_acceptance, self.jitter = target_acceptance, jitter

    def step(self, state: ChainState, potential: Potential, step_size: Size) -> tuple[ChainState, MoveInfo]:
        return step(state, potential, step_size, self.leapfrog_steps, jitter=self.jitter)
