"""The contract of a Markov kernel: moves of chains at exp(-U) for any differentiable U, as functions of an explicit
state.

An :class:`~lightning_irl.costs.Energy` is such a potential. Its parameters are constant: the gradient is taken with
respect to positions only, and nothing is accumulated in ``.grad``. Works inside ``torch.no_grad`` and
``torch.inference_mode``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

Potential = Callable[[Tensor], Tensor]  # U, of positions (B, *shape) to (B,), in nats
Size = float | Tensor  # of a step: a number, or a scalar tensor where it is adapted on the device


class ChainState(NamedTuple):
    """Where the chains are.

    Attributes:
        position: (B, *shape) on R^d.
        potential: U at the position (B,), up to a constant, in nats: minus the log density.
        gradient: (B, *shape) of the potential.
    """

    position: Tensor
    potential: Tensor
    gradient: Tensor


class MoveInfo(NamedTuple):
    """What one move did.

    Attributes:
        acceptance: (B,) probability of accepting the proposal; for a move without a correction, the one that a
            correction would have.
        accepted: (B,) bool.
        energy_error: (B,) minus log of the acceptance ratio, in nats; ``inf`` where the proposal is not usable.
    """

    acceptance: Tensor
    accepted: Tensor
    energy_error: Tensor


class Kernel(abc.ABC):
    """How chains move.

    Attributes:
        step_size: of the first move; the unit is the position's.
        target_acceptance: what the step size is adapted to; None for a kernel whose step size is fixed.
    """

    step_size: float
    target_acceptance: float | None = None

    def init(self, position: Tensor, potential: Potential) -> ChainState:
        """State of chains at ``position`` (B, *shape) for the target exp(-U) with U the ``potential``, (B, *shape) ->
        (B,).
        """
        return init(position, potential)

    @abc.abstractmethod
    def step(self, state: ChainState, potential: Potential, step_size: Size) -> tuple[ChainState, MoveInfo]:
        """One move at the same target for which the state was made."""

    def run(self, position: Tensor, potential: Potential, steps: int, step_size: Size) -> tuple[Tensor, Tensor]:
        """``steps`` moves of chains from ``position``.

        Returns:
            Positions (B, *shape), and the acceptance averaged over chains and moves, a scalar.
        """
        state = self.init(position, potential)
        acceptance = position.new_zeros(())
        for _ in range(steps):
            state, info = self.step(state, potential, step_size)
            acceptance = acceptance + info.acceptance.mean() / steps
        return state.position, acceptance

    def departures(self) -> list[str]:
        """Why these moves do not target the model itself, a line each."""
        return []


def init(position: Tensor, potential: Potential) -> ChainState:
    """State of chains at ``position`` (B, *shape) for the target exp(-U) with U the ``potential``,
    (B, *shape) -> (B,).
    """
    value, gradient = value_and_gradient(potential, position)
    return ChainState(position.detach(), value, gradient)


@contextmanager
def gradients_enabled() -> Iterator[None]:
    """Autograd on, whatever the caller switched off (validation loops run in inference mode)."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def value_and_gradient(potential: Potential, position: Tensor) -> tuple[Tensor, Tensor]:
    """U (B,) and its gradient (B, *shape), both detached."""
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        with gradients_enabled():
            return value_and_gradient(potential, position)
    position = (position.clone() if position.is_inference() else position).detach().requires_grad_(True)
    value = potential(position)
    return value.detach(), gradient_at(value, position)


def gradient_at(value: Tensor, position: Tensor) -> Tensor:
    """Gradient (B, *shape) of ``value`` (B,) in ``position`` alone; zero where the value does not depend on it (a flat
    cost).
    """
    if not value.requires_grad:
        return torch.zeros_like(position)
    (gradient,) = torch.autograd.grad(value.sum(), position, allow_unused=True)
    return torch.zeros_like(position) if gradient is None else gradient


def each_sum(values: Tensor) -> Tensor:
    """Sum over all axes but the first, (B, *shape) -> (B,): an image's kinetic energy is that of all its pixels."""
    return values.flatten(1).sum(-1)


def broadcast(scalars: Tensor, like: Tensor) -> Tensor:
    """Scalars (B,) shaped to act on samples (B, *shape)."""
    return scalars.view(-1, *[1] * (like.dim() - 1))


def metropolis(state: ChainState, proposal: ChainState, energy_error: Tensor) -> tuple[ChainState, MoveInfo]:
    """Accept or reject each chain's proposal; one that is not finite is rejected.

    Args:
        state: where the chains are.
        proposal: where they might go.
        energy_error: minus log of the acceptance ratio (B,).
    """
    # A chain may start where the density is zero (error -inf: go); it may never end there, nor where a gradient is not
    # finite.
    value, gradient = proposal.potential, proposal.gradient
    usable = torch.isfinite(value) & torch.isfinite(each_sum(gradient)) & ~torch.isnan(energy_error)
    energy_error = torch.where(usable, energy_error, torch.inf)
    acceptance = torch.exp(-energy_error.clamp(min=0))
    accepted = torch.rand_like(acceptance) < acceptance
    keep = broadcast(accepted, proposal.position)
    moved = ChainState(
        torch.where(keep, proposal.position, state.position),
        torch.where(accepted, value, state.potential),
        torch.where(keep, gradient, state.gradient),
    )
    return moved, MoveInfo(acceptance, accepted, energy_error)
