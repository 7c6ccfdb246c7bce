r"""Backups of tabular worlds: ``log_z`` by the risk-seeking one, ``soft_value`` by the causal one.

Step costs c are tensors of shape (S,), (S, A), (S, A, S'), (T, S, A) or (T, S, A, S'), S' the state that is reached and
T the horizon. All of it is computed in float64, in nats, on the device of the world, and is differentiable in the
costs. Temperature T_ enters as c / T_. Everything is undiscounted: discounted costs are time-dependent ones.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lightning_irl.environments.tabular import TabularMDP


class Backup(NamedTuple):
    """What a backup through the horizon finds.

    Attributes:
        values: V_t(s), (T + 1, S), in nats; zero after the last step.
        log_policy: log pi_t(a | s), (T, S, A).
    """

    values: Tensor
    log_policy: Tensor


def cost_table(mdp: TabularMDP, costs: Tensor, horizon: int) -> Tensor:
    """Step costs as (T or 1, S, A, S' or 1), float64.

    Raises:
        ValueError: if their shape is none of those that this module takes, or can be read in two ways.
    """
    states, actions = mdp.num_states, mdp.num_actions
    costs = costs.to(mdp.transitions)
    step, shape = (states, actions, states), tuple(costs.shape)
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}; it must be at least 1")
    if shape == step == (horizon, states, actions):
        raise ValueError(f"costs of shape {list(shape)} may be of time or of the next state; give (T, S, A, S')")
    if shape == (states,):
        return costs[None, :, None, None].expand(1, states, actions, 1)
    if shape == step[:2]:
        return costs[None, ..., None]
    if shape == step:
        return costs[None]
    if shape == (horizon, *step[:2]):
        return costs[..., None]
    if shape == (horizon, *step):
        return costs
    raise ValueError(
        f"costs have shape {list(shape)}; with {states} states, {actions} actions and {horizon} steps it must be "
        "(S,), (S, A), (S, A, S), (T, S, A) or (T, S, A, S)"
    )


def expected_costs(mdp: TabularMDP, costs: Tensor, horizon: int) -> Tensor:
    """Costs of state and action, in the mean over the next state (T, S, A)."""
    table = cost_table(mdp, costs, horizon)
    table = table.squeeze(-1) if table.shape[-1] == 1 else (mdp.transitions * table).sum(-1)
    return table.expand(horizon, -1, -1)


def causal_backup(
    mdp: TabularMDP, costs: Tensor, horizon: int, temperature: float = 1.0, discount: float = 1.0
) -> Backup:
    r"""The soft Bellman backup, whose policy minimises E_q[c] / T_ + E_q[log q].

    .. math:: Q_t(s, a) = -c_t(s, a) / T_ + \gamma\, E_{s' | s, a} V_{t+1}(s'),
        \qquad V_t(s) = \log \sum_a e^{Q_t(s, a)}

    with :math:`\pi_t(a | s) = \exp(Q_t(s, a) - V_t(s))`.

    Args:
        mdp: the world.
        costs: of steps, in a shape that this module takes.
        horizon: T.
        temperature: T_.
        discount: gamma, of later costs and later entropies alike.

    Source: Ziebart 2010, Modeling purposeful adaptive behavior with the principle of maximum causal entropy (PhD
        thesis, Carnegie
    Mellon), equations 9.1 to 9.3.

    Example:
        >>> from lightning_irl.environments import GridWorld
        >>> found = causal_backup(GridWorld(3, 3), torch.zeros(9), horizon=2)
        >>> found.values[0].exp()  # four actions, twice, each as good
        tensor([16.0000, 16.0000, 16.0000, 16.0000, 16.0000, 16.0000, 16.0000, 16.0000,
                16.0000], dtype=torch.float64)
    """
    step_costs = expected_costs(mdp, costs, horizon) / temperature
    rows = mdp.transitions.flatten(0, 1)
    value = rows.new_zeros(mdp.num_states)
    values, log_policy = [value], []
    for cost in step_costs.flip(0).unbind():
        action_value = (rows @ value).view_as(cost) * discount - cost
        value = action_value.logsumexp(-1)
        values.append(value)
        log_policy.append(action_value - value[:, None])
    return Backup(torch.stack(values[::-1]), torch.stack(log_policy[::-1]))


def risk_seeking_backup(mdp: TabularMDP, costs: Tensor, horizon: int, temperature: float = 1.0) -> Backup:
    r"""The backup of exp(-c): what the partition function of trajectories needs.

    .. math:: Q_t(s, a) = \log E_{s' | s, a} e^{-c_t(s, a, s') / T_ + V_{t+1}(s')},
        \qquad V_t(s) = \log \sum_a e^{Q_t(s, a)}

    The policy :math:`\exp(Q_t(s, a) - V_t(s))` is p_theta(a | s, t), whose world is a luckier one:
    :func:`model_transitions`. Chosen in the true world it is not the best policy.

    Args:
        mdp: the world.
        costs: of steps, in a shape that this module takes.
        horizon: T.
        temperature: T_.

    Source: Ziebart, Maas, Bagnell and Dey 2008, Maximum entropy inverse reinforcement learning (AAAI), where the
        probabilities
    of the world weight each path; Levine 2018, Reinforcement learning and control as probabilistic inference (arXiv
    1805.00909), on why it seeks risk.
    """
    table = cost_table(mdp, costs, horizon) / temperature
    value = table.new_zeros(mdp.num_states)
    values, log_policy = [value], []
    log_transitions = mdp.transitions.log()
    for cost in table.expand(horizon, -1, -1, -1).flip(0).unbind():
        action_value = (log_transitions - cost + value).logsumexp(-1)
        value = action_value.logsumexp(-1)
        values.append(value)
        log_policy.append(action_value - value[:, None])
    return Backup(torch.stack(values[::-1]), torch.stack(log_policy[::-1]))


def model_transitions(mdp: TabularMDP, cost: Tensor, value: Tensor) -> Tensor:
    r"""p_theta(s' | s, a) of a step, proportional to :math:`p(s' | s, a)\, e^{-c(s, a, s') / T_ + V_{t+1}(s')}`.

    Args:
        mdp: the world.
        cost: c / T_ of the step (S, A, S' or 1).
        value: V of the next step by :func:`risk_seeking_backup` (S',).

    Returns:
        (S, A, S').
    """
    return (mdp.transitions.log() - cost + value).softmax(-1)


def soft_value(mdp: TabularMDP, costs: Tensor, horizon: int, temperature: float = 1.0, discount: float = 1.0) -> Tensor:
    r"""-min over policies of E_q[c] / T_ + E_q[log q]: :math:`E_{s_0} V_0(s_0)` of :func:`causal_backup`, a scalar in
    nats.

    Its gradient in the costs is minus the occupancy of the policy that attains it. At most :func:`log_z`, and equal to
    it where start and next states are certain.
    """
    return mdp.initial @ causal_backup(mdp, costs, horizon, temperature, discount).values[0]


def log_z(mdp: TabularMDP, costs: Tensor, horizon: int, temperature: float = 1.0) -> Tensor:
    r"""log of the sum over trajectories of p(world) exp(-c / T_), a scalar in nats.

    .. math:: \log Z = \log E_{s_0} e^{V_0(s_0)}

    of :func:`risk_seeking_backup`; p(world) are the probabilities of start and next states. Its gradient in the costs
    is minus the occupancy of p_theta, :func:`~lightning_irl.dynamic_programming.occupancy.model_occupancy`.
    """
    return (mdp.initial.log() + risk_seeking_backup(mdp, costs, horizon, temperature).values[0]).logsumexp(-1)
