"""Langevin dynamics, without and with a Metropolis correction."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.mcmc.kernel import (
    ChainState,
    Kernel,
    MoveInfo,
    Potential,
    Size,
    each_sum,
    gradients_enabled,
    metropolis,
    value_and_gradient,
)


class Langevin(Kernel):
    r"""Unadjusted Langevin dynamics, with temperature and noise stated separately.

    .. math:: x' = x - \epsilon \, \nabla U(x) + s \sqrt{2 \epsilon T} \, \xi, \qquad \xi \sim N(0, 1)

    For small steps its draws are those of :math:`e^{-U / (T s^2)}`: of the target only at T = s = 1. Both scale the
    noise, and are separate because they mean different things: the temperature belongs to the target; noise below 1 is
    a shortcut of many implementations, which thereby train at a lower temperature than they state. Discretisation adds
    an error of the order of :math:`\epsilon`, which only a correction (:class:`MALA`) removes.

    Args:
        step_size: epsilon, in squared units of the position.
        temperature: T.
        noise: s.

    Raises:
        ValueError: if a value is not allowed.

    Sources: Roberts and Tweedie, "Exponential convergence of Langevin distributions and their discrete approximations"
        (1996);
    Du and Mordatch, "Implicit generation and modeling with energy-based models" (2019), arXiv 1903.08689, for images.
    """

    def __init__(self, step_size: float = 0.01, temperature: float = 1.0, noise: float = 1.0) -> None:
        if step_size <= 0 or min(temperature, noise) < 0:
            raise ValueError(
                f"Langevin step_size is {step_size}, temperature {temperature} and noise {noise}; "
                "the first must be above 0, the others not negative"
            )
        self.step_size, self.temperature, self.noise = step_size, temperature, noise

    @property
    def sampled_temperature(self) -> float:
        """The temperature T s^2 that draws have, for small steps."""
        return self.temperature * self.noise**2

    def step(self, state: ChainState, potential: Potential, step_size: Size) -> tuple[ChainState, MoveInfo]:
        """One move, without rejection; what a correction would have accepted is in the acceptance."""
        position = self._move(state.position, state.gradient, step_size)
        moved = ChainState(position, *value_and_gradient(potential, position))
        error = energy_error(state, moved, step_size)
        return moved, MoveInfo(torch.exp(-error.clamp(min=0)), torch.ones_like(error).bool(), error)

    def run(self, position: Tensor, potential: Potential, steps: int, step_size: Size) -> tuple[Tensor, Tensor]:
        """``steps`` moves and as many gradients: what an uncorrected chain needs, and no more.

        Returns:
            Positions (B, *shape), and nan: nothing is accepted here. :meth:`step` tells what a correction would accept.
        """
        with gradients_enabled():
            position = (position.clone() if position.is_inference() else position).detach()
            ones = None  # as the sum's gradient, without the sum
            for _ in range(steps):
                value = potential(position.requires_grad_(True))
                ones = torch.ones_like(value) if ones is None else ones
                gradient = (
                    torch.autograd.grad(value, position, ones)[0] if value.requires_grad else torch.zeros_like(position)
                )
                del value  # and with it the graph, before the next one is made
                position = self._move(position.detach(), gradient, step_size)
        return position, position.new_full((), torch.nan)

    def _move(self, position: Tensor, gradient: Tensor, step_size: Size) -> Tensor:
        noise = torch.randn_like(position)
        scale = self.noise * (2 * step_size * self.temperature) ** 0.5
        if isinstance(step_size, float):
            return torch.sub(position, gradient, alpha=step_size).add_(noise, alpha=float(scale))
        return position - step_size * gradient + scale * noise

    def departures(self) -> list[str]:
        found = [
            f"chains of Langevin without a correction: their draws are off by the order of the step {self.step_size}"
        ]
        if self.sampled_temperature != 1:
            found.append(
                f"Langevin temperature is {self.temperature} and noise {self.noise}: "
                f"chains draw at temperature {self.sampled_temperature:g}, not from the model"
            )
        return found


class MALA(Kernel):
    r"""Langevin dynamics with a Metropolis correction: exact at the model whatever the step size.

    .. math:: x' = x - \epsilon \nabla U(x) + \sqrt{2 \epsilon} \, \xi, \qquad
              \alpha = \min\Bigl(1, \frac{e^{-U(x')} \, k(x \mid x')}{e^{-U(x)} \, k(x' \mid x)}\Bigr)

    with k the proposal's density.

    Args:
        step_size: epsilon of the first move, in squared units of the position; from there it is adapted.
        target_acceptance: what it is adapted to, 0.574 being the best in many dimensions; None to keep the step.

    Raises:
        ValueError: if the step is not positive.

    Source: Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin diffusions" (1998).
    """

    def __init__(self, step_size: float = 0.01, target_acceptance: float | None = 0.574) -> None:
        if step_size <= 0:
            raise ValueError(f"MALA step_size is {step_size}; it must be above 0")
        self.step_size, self.target_acceptance = step_size, target_acceptance

    def step(self, state: ChainState, potential: Potential, step_size: Size) -> tuple[ChainState, MoveInfo]:
        noise = torch.randn_like(state.position)
        position = state.position - step_size * state.gradient + (2 * step_size) ** 0.5 * noise
        proposal = ChainState(position, *value_and_gradient(potential, position))
        return metropolis(state, proposal, energy_error(state, proposal, step_size))


def energy_error(state: ChainState, proposal: ChainState, step_size: Size) -> Tensor:
    """Minus log of the ratio by which a Metropolis correction accepts a Langevin move (B,), in nats."""
    there = proposal.position - state.position + step_size * state.gradient
    back = state.position - proposal.position + step_size * proposal.gradient
    asymmetry = (each_sum(back.square()) - each_sum(there.square())) / (4 * step_size)
    return asymmetry + (proposal.potential - state.potential)
