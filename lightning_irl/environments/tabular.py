"""Environments with finitely many states and actions and known probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from lightning_irl.environments.base import Environment, Step

SUM_TOLERANCE = 1e-6


class TabularMDP(Environment):
    r"""A Markov decision process given by a table of probabilities p(s' | s, a).

    States and observations are the same one-hot vectors (B, S). Probabilities are kept in float64 and sum to 1 to its
    rounding. Episodes never end before the horizon, which the event sets.

    Args:
        transitions: p(s' | s, a), (S, A, S); nested lists or a tensor.
        initial: p(s_0), (S,).
        rewards: true reward (S,), (S, A) or (S, A, S), by the state before the step, the action and the next state.

    Attributes:
        transitions: (S, A, S), float64.
        initial: (S,), float64.
        rewards: (S,), (S, A) or (S, A, S), float64.
        possible: (s, a, s') of every step with positive probability (K, 3), long.
        is_deterministic: whether start and next states are certain; if so, ``log_z`` and ``soft_value`` are equal.

    Raises:
        ValueError: if shapes do not fit, or probabilities are negative or do not sum to 1 within 1e-6.

    Example:
        >>> coin = TabularMDP([[[0.5, 0.5], [0, 1]], [[1, 0], [0.5, 0.5]]], initial=[1, 0], rewards=[0, 1])
        >>> state, observation = coin.reset(2)
        >>> coin.step(state, torch.tensor([1, 1])).observation
        tensor([[0., 1.],
                [0., 1.]])
    """

    transitions: Tensor
    initial: Tensor
    rewards: Tensor
    possible: Tensor
    cumulative: Tensor
    cumulative_initial: Tensor

    def __init__(
        self,
        transitions: Tensor | Sequence[Sequence[Sequence[float]]],
        initial: Tensor | Sequence[float],
        rewards: Tensor | Sequence[Any],
    ) -> None:
        super().__init__()
        table, start, paid = (torch.as_tensor(value, dtype=torch.float64) for value in (transitions, initial, rewards))
        if table.ndim != 3 or table.shape[0] != table.shape[2]:
            raise ValueError(f"transitions have shape {list(table.shape)}; it must be (S, A, S)")
        self.num_states, self.num_actions = int(table.shape[0]), int(table.shape[1])
        if self.num_actions < 2:
            raise ValueError("transitions have 1 action; a policy needs at least 2 to choose from")
        if start.shape != table.shape[:1]:
            raise ValueError(f"initial has shape {list(start.shape)}; it must be ({self.num_states},)")
        if not 1 <= paid.ndim <= 3 or paid.shape != table.shape[: paid.ndim]:
            raise ValueError(
                f"rewards have shape {list(paid.shape)}; it must be the first 1, 2 or 3 sizes of {list(table.shape)}"
            )
        self.observation_shape, self.observation_low, self.observation_high = (self.num_states,), (0.0,), (1.0,)
        for name, value in (("transitions", table), ("initial", start)):
            value = _normalised(name, value)
            cumulative = value.cumsum(-1)
            self.register_buffer(name, value, persistent=False)
            # ends in exactly 1, so that no draw falls beyond the last state with positive probability
            self.register_buffer(
                {"transitions": "cumulative", "initial": "cumulative_initial"}[name],
                cumulative / cumulative[..., -1:],
                persistent=False,
            )
        self.register_buffer("rewards", paid, persistent=False)
        self.register_buffer("possible", self.transitions.nonzero(), persistent=False)

    @property
    def is_deterministic(self) -> bool:
        return bool(((self.transitions == 0) | (self.transitions == 1)).all() and (self.initial == 1).any())

    def reset(
        self, num: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, Tensor]:
        """States from ``initial``."""
        unit = torch.rand(num, dtype=self.initial.dtype, device=device)
        observation = self.observe(torch.searchsorted(self.cumulative_initial, unit, right=True), dtype)
        return observation, observation

    def observe(self, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """One-hot vectors (..., S) of states (...), long."""
        return torch.nn.functional.one_hot(index, self.num_states).to(dtype)

    def step(self, state: Tensor, action: Tensor) -> Step:
        index = state.argmax(-1)
        unit = torch.rand(len(index), 1, dtype=self.cumulative.dtype, device=state.device)
        following = torch.searchsorted(self.cumulative[index, action], unit, right=True).squeeze(-1)
        reward = self.rewards[(index, action, following)[: self.rewards.ndim]].to(state.dtype)
        observation = self.observe(following, state.dtype)
        return Step(observation, observation, reward, torch.zeros_like(following, dtype=torch.bool))

    def reward(self, observation: Tensor, action: Tensor, next_observation: Tensor) -> Tensor:
        step = observation.argmax(-1), action, next_observation.argmax(-1)
        return self.rewards[step[: self.rewards.ndim]].to(observation.dtype)

    def phase(self, observation: Tensor) -> None:
        """None: a one-hot vector has no two coordinates to show."""


class GridWorld(TabularMDP):
    """Go right (0), down (1), left (2) or up (3) on a grid; a move into a wall stays in place.

    States are cells row by row from the top left, number ``row * width + column``.

    Args:
        height: rows.
        width: columns.
        slip: probability that a random one of the four directions replaces the action; 0 is deterministic.
        goals: reward of being in a cell, each as [row, column, reward]; by default 1 at the bottom right.
        step_reward: reward of every other cell.
        start: cell [row, column] of the start; by default uniform over all cells.

    Raises:
        ValueError: if a cell is not on the grid, or ``slip`` is not a probability.

    Example:
        >>> GridWorld(2, 3, slip=0.2).transitions[0, 0]  # right from the top left: up and left stay
        tensor([0.1000, 0.8500, 0.0000, 0.0500, 0.0000, 0.0000], dtype=torch.float64)
    """

    def __init__(
        self,
        height: int = 5,
        width: int = 5,
        slip: float = 0.0,
        goals: Sequence[Sequence[float]] | None = None,
        step_reward: float = 0.0,
        start: Sequence[int] | None = None,
    ) -> None:
        _check_grid(height, width, slip, "slip")
        size = height * width
        moves = torch.zeros(size, 4, size, dtype=torch.float64)
        for cell in range(size):
            row, column = divmod(cell, width)
            for action, (down, right) in enumerate(((0, 1), (1, 0), (0, -1), (-1, 0))):
                moves[cell, action, _cell(row + down, column + right, height, width)] = 1
        rewards = torch.full((size,), step_reward, dtype=torch.float64)
        for *cell_of_goal, reward in [[height - 1, width - 1, 1.0]] if goals is None else goals:
            rewards[_on_grid(cell_of_goal, height, width)] = reward
        initial = torch.full((size,), 1 / size, dtype=torch.float64)
        if start is not None:
            initial = torch.zeros(size, dtype=torch.float64)
            initial[_on_grid(start, height, width)] = 1
        super().__init__((1 - slip) * moves + slip * moves.mean(1, keepdim=True), initial, rewards)
        self.height, self.width = height, width


class CliffWorld(TabularMDP):
    """Reach the goal along a cliff, with wind towards it: the example of tabular IRL in the library imitation.

    .. code-block:: text

        S C C C C C G
        . . . . . . .
        . . . . . . .
        . . . . . . .

    Episodes start at S. Every step in a cell gives the cell's reward: C -10, G 10, all others -1. Actions are diagonal:
    up left (0), up right (1), down left (2), down right (3), clamped to the grid in each coordinate; with the wind's
    probability the move ends one row further up. Episodes go on in G, where up right stays.

    Args:
        height: rows, at least 2.
        width: columns, at least 3.
        wind: probability of being blown a row up; 0 is deterministic.
        goal_reward: of each step in G.
        cliff_reward: of each step in C.
        step_reward: of each step elsewhere.

    Raises:
        ValueError: if the grid is too small, or ``wind`` is not a probability.

    Source: CliffWorld of seals 0.2 (github.com/HumanCompatibleAI/seals), rewritten.

    Example:
        >>> CliffWorld(4, 7).transitions[7, 1].nonzero().flatten()  # up right of the second row: cliff either way
        tensor([1])
    """

    def __init__(
        self,
        height: int = 4,
        width: int = 7,
        wind: float = 0.3,
        goal_reward: float = 10.0,
        cliff_reward: float = -10.0,
        step_reward: float = -1.0,
    ) -> None:
        _check_grid(height, width, wind, "wind")
        if height < 2 or width < 3:
            raise ValueError(
                f"the grid has {height} rows and {width} columns; a cliff needs at least 2 rows and 3 columns"
            )
        size = height * width
        transitions = torch.zeros(size, 4, size, dtype=torch.float64)
        for cell in range(size):
            row, column = divmod(cell, width)
            for action, (down, right) in enumerate(((-1, -1), (-1, 1), (1, -1), (1, 1))):
                for blown, probability in ((0, 1 - wind), (1, wind)):
                    reached = _cell(row + down - blown, column + right, height, width)
                    transitions[cell, action, reached] += probability
        rewards = torch.full((size,), step_reward, dtype=torch.float64)
        rewards[1 : width - 1], rewards[width - 1] = cliff_reward, goal_reward
        initial = torch.zeros(size, dtype=torch.float64)
        initial[0] = 1
        super().__init__(transitions, initial, rewards)
        self.height, self.width = height, width


class RandomMDP(TabularMDP):
    """Random transitions from each state to a few others, a random start, and a normally distributed reward per state.

    Each state and action has a uniform number of next states, from 1 to ``branching``; which states these are is
    uniform too, and their probabilities are uniform on the simplex. The start is drawn likewise over ``num_starts``
    states. Random numbers come from numpy's ``default_rng(seed)`` in the order of RandomTransitionEnv in seals 0.2.1:
    the same seed gives the same MDP, up to its rounding to float32.

    Args:
        num_states: S.
        num_actions: A.
        branching: most next states for a state and action; 1 is deterministic.
        num_starts: number of possible first states; by default ``branching``.
        seed: of a separate generator; the global random state stays untouched.

    Raises:
        ValueError: if ``branching`` or ``num_starts`` is not between 1 and ``num_states``.

    Example:
        >>> (RandomMDP(100, 4, branching=3).transitions > 0).sum(-1).unique()
        tensor([1, 2, 3])
    """

    def __init__(
        self,
        num_states: int = 100,
        num_actions: int = 4,
        branching: int = 4,
        num_starts: int | None = None,
        seed: int = 0,
    ) -> None:
        num_starts = branching if num_starts is None else num_starts
        for name, value in {"branching": branching, "num_starts": num_starts}.items():
            if not 1 <= value <= num_states:
                raise ValueError(f"{name} is {value}; it must lie between 1 and the {num_states} states")
        generator = numpy.random.default_rng(seed)
        transitions = numpy.zeros((num_states, num_actions, num_states))
        for state in range(num_states):
            for action in range(num_actions):
                count = generator.integers(1, branching + 1)
                reached = generator.choice(num_states, size=count, replace=False)
                transitions[state, action, reached] = generator.dirichlet(numpy.ones(count))
        initial = numpy.zeros(num_states)
        starts = generator.choice(num_states, size=num_starts, replace=False)
        initial[starts] = generator.dirichlet(numpy.ones(num_starts))
        rewards = generator.standard_normal(num_states)
        super().__init__(torch.from_numpy(transitions), torch.from_numpy(initial), torch.from_numpy(rewards))


def _normalised(name: str, probabilities: Tensor) -> Tensor:
    """Probabilities normalised to sum to 1 over the last dimension, to float64 rounding."""
    total = probabilities.sum(-1, keepdim=True)
    if not bool((probabilities >= 0).all()):  # also where they are NaN
        raise ValueError(f"{name} holds {float(probabilities.min()):.3g}; probabilities are at least 0")
    if (worst := float((total - 1).abs().max())) > SUM_TOLERANCE:
        raise ValueError(f"{name} sums to 1 only within {worst:.3g}; the tolerance is {SUM_TOLERANCE:g}")
    return probabilities / total


def _check_grid(height: int, width: int, probability: float, name: str) -> None:
    if min(height, width) < 1:
        raise ValueError(f"the grid has {height} rows and {width} columns; it needs at least one of each")
    if not 0 <= probability <= 1:
        raise ValueError(f"{name} is {probability}; a probability lies between 0 and 1")


def _cell(row: int, column: int, height: int, width: int) -> int:
    """Number of the cell, clamped to the grid."""
    return min(max(row, 0), height - 1) * width + min(max(column, 0), width - 1)


def _on_grid(cell: Sequence[float], height: int, width: int) -> int:
    if len(cell) != 2 or cell[0] not in range(height) or cell[1] not in range(width):
        raise ValueError(f"cell {list(cell)} is not [row, column] on a grid of {height} rows and {width} columns")
    return int(cell[0]) * width + int(cell[1])
