"""Linear dynamics with Gaussian noise and a quadratic cost: a continuous environment with known answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

Matrix = Tensor | Sequence[Sequence[float]]
Vector = Tensor | Sequence[float]


class LinearQuadratic(Environment):
    r"""A linear system driven by an unbounded action and Gaussian noise.

    .. math:: s' = A s + B a + w, \quad w \sim N(0, W), \quad s_0 \sim N(m, M),
        \qquad r(s, a) = -\tfrac12 s^\top Q s - \tfrac12 a^\top R a

    Observations (B, n) are the states; the reward depends on the state before the step. Differentiable in the action.
    Constants are kept in float64. The default is a mass on a line with position and velocity, in time steps of 0.1 s.

    Args:
        state_matrix: A, (n, n); nested lists or a tensor.
        action_matrix: B, (n, d).
        noise_covariance: W, (n, n), positive semidefinite; by default zero.
        initial_mean: m, (n,); by default zero.
        initial_covariance: M, (n, n), positive semidefinite; by default the identity.
        state_cost: Q, (n, n), symmetric; by default the identity.
        action_cost: R, (d, d), symmetric; by default the identity.

    Raises:
        ValueError: if shapes do not fit, a cost is not symmetric, or a covariance not positive semidefinite.

    Example:
        >>> mass = LinearQuadratic(initial_covariance=[[0, 0], [0, 0]], initial_mean=[1, 0])
        >>> state, _ = mass.reset(1)
        >>> step = mass.step(state, torch.tensor([[2.0]]))
        >>> step.observation, step.reward
        (tensor([[1.0000, 0.2000]]), tensor([-2.5000]))
    """

    is_differentiable = True

    state_matrix: Tensor
    action_matrix: Tensor
    noise_covariance: Tensor
    initial_mean: Tensor
    initial_covariance: Tensor
    state_cost: Tensor
    action_cost: Tensor
    noise_root: Tensor
    initial_root: Tensor

    def __init__(
        self,
        state_matrix: Matrix = ((1.0, 0.1), (0.0, 1.0)),
        action_matrix: Matrix = ((0.0,), (0.1,)),
        noise_covariance: Matrix | None = None,
        initial_mean: Vector | None = None,
        initial_covariance: Matrix | None = None,
        state_cost: Matrix | None = None,
        action_cost: Matrix | None = None,
    ) -> None:
        super().__init__()
        action_matrix = torch.as_tensor(action_matrix, dtype=torch.float64)
        if action_matrix.ndim != 2:
            raise ValueError(f"action_matrix has shape {list(action_matrix.shape)}; it must be (n, d)")
        size, actions = int(action_matrix.shape[0]), int(action_matrix.shape[1])
        unit, zero = torch.eye(size), torch.zeros(size, size)
        values: dict[str, tuple[Matrix | Vector, tuple[int, ...]]] = {
            "state_matrix": (state_matrix, (size, size)),
            "action_matrix": (action_matrix, (size, actions)),
            "noise_covariance": (zero if noise_covariance is None else noise_covariance, (size, size)),
            "initial_mean": (torch.zeros(size) if initial_mean is None else initial_mean, (size,)),
            "initial_covariance": (unit if initial_covariance is None else initial_covariance, (size, size)),
            "state_cost": (unit if state_cost is None else state_cost, (size, size)),
            "action_cost": (torch.eye(actions) if action_cost is None else action_cost, (actions, actions)),
        }
        for name, (given, shape) in values.items():
            value = torch.as_tensor(given, dtype=torch.float64)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {list(value.shape)}; it must be {list(shape)}")
            if name.endswith(("cost", "covariance")) and not torch.allclose(value, value.mT):
                raise ValueError(f"{name} is not symmetric")
            self.register_buffer(name, value, persistent=False)
        for name in ("noise", "initial"):
            root = _root(f"{name}_covariance", getattr(self, f"{name}_covariance"))
            self.register_buffer(f"{name}_root", root, persistent=False)
        self.observation_shape, self.action_shape = (size,), (actions,)

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """States from N(m, M)."""
        noise = torch.randn(num, self.observation_shape[0], dtype=dtype, device=device)
        state = self.initial_mean.to(noise) + noise @ self.initial_root.to(noise).mT
        return state, state

    def step(self, state: Tensor, action: Tensor) -> Step:
        following = state @ self.state_matrix.to(state).mT + action @ self.action_matrix.to(state).mT
        following = following + torch.randn_like(following) @ self.noise_root.to(state).mT
        reward = self.reward(state, action, following)
        return Step(following, following, reward, torch.zeros_like(reward, dtype=torch.bool))

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        state_cost = ((observation @ self.state_cost.to(observation)) * observation).sum(-1)
        return -(state_cost + ((action @ self.action_cost.to(observation)) * action).sum(-1)) / 2


def _root(name: str, covariance: Tensor) -> Tensor:
    """L with L L^T equal to the covariance, which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    if float(values.min()) < -1e-12 * max(float(values.max()), 1.0):
        raise ValueError(f"{name} has the eigenvalue {float(values.min()):.3g}; a covariance has no eigenvalue below 0")
    return vectors * values.clamp(min=0).sqrt()
