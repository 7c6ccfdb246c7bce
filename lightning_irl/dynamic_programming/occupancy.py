"""How often states and actions are visited, exactly: by a policy, and by the model itself."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_irl.dynamic_programming.tabular import (
    cost_table,
    expected_costs,
    model_transitions,
    risk_seeking_backup,
)
from lightning_irl.environments.tabular import TabularMDP


def occupancy(mdp: TabularMDP, log_policy: Tensor) -> Tensor:
    r"""Probability of each state and action at each step under a policy.

    .. math:: \rho_0 = p(s_0), \qquad \rho_{t+1}(s') = \sum_{s, a} \rho_t(s)\, \pi_t(a | s)\, p(s' | s, a)

    Args:
        mdp: the world.
        log_policy: log pi_t(a | s), (T, S, A).

    Returns:
        rho_t(s) pi_t(a | s), (T, S, A); each step sums to 1. Summed over actions, the visits to states.

    Example:
        >>> from lightning_irl.environments import GridWorld
        >>> always_right = torch.tensor([1.0, 0, 0, 0]).log().expand(2, 3, 4)
        >>> occupancy(GridWorld(1, 3, start=[0, 0]), always_right).sum(-1)
        tensor([[1., 0., 0.],
                [0., 1., 0.]], dtype=torch.float64)
    """
    rows = mdp.transitions.flatten(0, 1)
    visits, found = mdp.initial, []
    for policy in log_policy.to(rows).exp().unbind():
        found.append(visits[:, None] * policy)
        visits = found[-1].flatten() @ rows
    return torch.stack(found)


def state_visits(mdp: TabularMDP, log_policy: Tensor) -> Tensor:
    """Probability of each state at each step, the one after the last action included (T + 1, S)."""
    found = occupancy(mdp, log_policy)
    last = found[-1].flatten() @ mdp.transitions.flatten(0, 1)
    return torch.cat([found.sum(-1), last[None]])


def expected_cost(mdp: TabularMDP, costs: Tensor, log_policy: Tensor) -> Tensor:
    """E_q[c] of a policy (T, S, A), a scalar; costs in a shape that the backups take."""
    return (occupancy(mdp, log_policy) * expected_costs(mdp, costs, len(log_policy))).sum()


def causal_entropy(mdp: TabularMDP, log_policy: Tensor) -> Tensor:
    """-E_q[log q], the sum of the actions' entropies along a trajectory, a scalar in nats."""
    entropies = torch.special.entr(log_policy.to(mdp.transitions).exp()).sum(-1)
    return (occupancy(mdp, log_policy).sum(-1) * entropies).sum()


def model_occupancy(mdp: TabularMDP, costs: Tensor, horizon: int, temperature: float = 1.0) -> Tensor:
    r"""Probability of each state and action at each step under p_theta = p(world) exp(-c / T_) / Z.

    The start and the next states are not those of the world, but as lucky as the cost makes them:
    :math:`p_\theta(s_0) \propto p(s_0)\, e^{V_0(s_0)}`, and
    :func:`~lightning_irl.dynamic_programming.tabular.model_transitions` from there on.

    Args:
        mdp: the world.
        costs: of steps, in a shape that the backups take.
        horizon: T.
        temperature: T_.

    Returns:
        (T, S, A); each step sums to 1. Over T_, minus the gradient of log Z in costs of that shape.
    """
    found = risk_seeking_backup(mdp, costs, horizon, temperature)
    table = (cost_table(mdp, costs, horizon) / temperature).expand(horizon, -1, -1, -1)
    visits, occupied = (mdp.initial.log() + found.values[0]).softmax(-1), []
    for cost, value, log_policy in zip(table, found.values[1:], found.log_policy, strict=True):
        occupied.append(visits[:, None] * log_policy.exp())
        visits = occupied[-1].flatten() @ model_transitions(mdp, cost, value).flatten(0, 1)
    return torch.stack(occupied)
