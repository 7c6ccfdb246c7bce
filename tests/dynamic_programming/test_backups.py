"""Backups and occupancies against the sum over every trajectory of tiny worlds."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lightning_irl.dynamic_programming import (
    causal_backup,
    causal_entropy,
    expected_cost,
    log_z,
    model_occupancy,
    model_transitions,
    occupancy,
    risk_seeking_backup,
    soft_value,
    state_visits,
)
from lightning_irl.dynamic_programming.tabular import cost_table
from lightning_irl.environments import GridWorld, RandomMDP, TabularMDP

STATES, ACTIONS, HORIZON = 3, 2, 4
WORLDS = {
    "chance": RandomMDP(STATES, ACTIONS, branching=3, seed=0),
    "chance at the start": RandomMDP(STATES, ACTIONS, branching=1, num_starts=2, seed=1),
    "certain": RandomMDP(STATES, ACTIONS, branching=1, seed=2),
}
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
temperatures = pytest.mark.parametrize("temperature", [1.0, 0.3, 2.0])


class Everything(NamedTuple):
    """All N trajectories that a world allows.

    Attributes:
        states: (N, T + 1).
        actions: (N, T).
        log_world: log p(s_0) + sum of log p(s' | s, a), (N,).
    """

    states: Tensor
    actions: Tensor
    log_world: Tensor

    @classmethod
    def of(cls, world: TabularMDP) -> "Everything":
        columns = [torch.arange(STATES), *[torch.arange(ACTIONS), torch.arange(STATES)] * HORIZON]
        table = torch.cartesian_prod(*columns)
        states, actions = table[:, ::2], table[:, 1::2]
        log_world = world.initial.log()[states[:, 0]]
        log_world = log_world + world.transitions.log()[states[:, :-1], actions, states[:, 1:]].sum(1)
        is_possible = log_world.isfinite()
        return cls(states[is_possible], actions[is_possible], log_world[is_possible])

    def costs(self, table: Tensor) -> Tensor:
        """Of each trajectory (N,), from step costs (T, S, A, S')."""
        return table[torch.arange(HORIZON), self.states[:, :-1], self.actions, self.states[:, 1:]].sum(1)

    def log_q(self, log_policy: Tensor) -> Tensor:
        """Of each trajectory (N,), from log pi_t(a | s), (T, S, A)."""
        return log_policy[torch.arange(HORIZON), self.states[:, :-1], self.actions].sum(1)

    def visits(self, probabilities: Tensor) -> Tensor:
        """Probability of states, actions and next states at each step (T, S, A, S'), from those of
        trajectories (N,).
        """
        found = torch.zeros(HORIZON, STATES, ACTIONS, STATES).double()
        for step in range(HORIZON):
            place = self.states[:, step], self.actions[:, step], self.states[:, step + 1]
            found[step].index_put_(place, probabilities, accumulate=True)
        return found


def some_costs(*shape):
    return torch.randn(shape or (HORIZON, STATES, ACTIONS, STATES)).double()


def some_policy():
    return torch.randn(HORIZON, STATES, ACTIONS).double().log_softmax(-1)


@worlds
@temperatures
def test_log_z_is_the_sum_over_trajectories(world, temperature):
    every, costs = Everything.of(world), some_costs()
    expected = (every.log_world - every.costs(costs) / temperature).logsumexp(0)
    torch.testing.assert_close(log_z(world, costs, HORIZON, temperature), expected, rtol=1e-13, atol=1e-13)


@worlds
@temperatures
def test_the_models_policy_world_and_occupancy_are_its_marginals(world, temperature):
    every, costs = Everything.of(world), some_costs()
    visits = every.visits((every.log_world - every.costs(costs) / temperature).softmax(0))
    torch.testing.assert_close(model_occupancy(world, costs, HORIZON, temperature), visits.sum(-1))
    backup = risk_seeking_backup(world, costs, HORIZON, temperature)
    for step, cost in enumerate(costs):
        chosen, here = visits[step].sum(-1), visits[step].sum((1, 2))
        reached = model_transitions(world, cost / temperature, backup.values[step + 1])
        is_visited = here > 0  # nothing is conditional on a state that is out of reach
        torch.testing.assert_close(backup.log_policy[step].exp()[is_visited], (chosen / here[:, None])[is_visited])
        torch.testing.assert_close(reached[is_visited], (visits[step] / chosen[..., None])[is_visited])


@worlds
def test_a_policys_occupancy_is_the_sum_over_trajectories(world):
    every, log_policy, costs = Everything.of(world), some_policy(), some_costs()
    log_q = every.log_q(log_policy)
    probabilities = (every.log_world + log_q).exp()
    torch.testing.assert_close(probabilities.sum(), torch.ones(()).double())
    visits = every.visits(probabilities)
    torch.testing.assert_close(occupancy(world, log_policy), visits.sum(-1))
    torch.testing.assert_close(state_visits(world, log_policy)[:-1], visits.sum((2, 3)))
    torch.testing.assert_close(state_visits(world, log_policy)[-1], visits[-1].sum((0, 1)))
    torch.testing.assert_close(expected_cost(world, costs, log_policy), probabilities @ every.costs(costs))
    torch.testing.assert_close(causal_entropy(world, log_policy), -probabilities @ log_q)


def sampler_loss(every, costs, log_policy, discounts=None):
    """E_q[c] + E_q[log q] as a sum over trajectories; or with each step's cost and log pi discounted."""
    log_q = every.log_q(log_policy)
    probabilities = (every.log_world + log_q).exp()
    if discounts is None:
        return probabilities @ (every.costs(costs) + log_q)
    weighted = discounts[:, None, None]
    return probabilities @ (every.costs(costs * weighted[..., None]) + every.log_q(log_policy * weighted))


@worlds
@pytest.mark.parametrize(("temperature", "discount"), [(1.0, 1.0), (0.5, 1.0), (2.0, 0.7)])
def test_soft_value_is_the_best_that_descent_finds(world, temperature, discount):
    every, costs = Everything.of(world), some_costs()
    discounts = discount ** torch.arange(HORIZON).double()
    logits = torch.zeros(HORIZON, STATES, ACTIONS, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-11, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = sampler_loss(every, costs / temperature, logits.log_softmax(-1), discounts)
        loss.backward()
        return loss

    optimizer.step(closure)
    found = soft_value(world, costs, HORIZON, temperature, discount)
    torch.testing.assert_close(-closure().detach(), found, rtol=0, atol=1e-10)
    best = causal_backup(world, costs, HORIZON, temperature, discount).log_policy
    torch.testing.assert_close(-sampler_loss(every, costs / temperature, best, discounts), found, rtol=0, atol=1e-12)
    assert all(-sampler_loss(every, costs / temperature, some_policy(), discounts) < found for _ in range(20))


@worlds
@temperatures
def test_log_z_is_at_least_soft_value_and_equal_where_nothing_is_left_to_chance(world, temperature):
    costs = 3 * some_costs()
    gap = log_z(world, costs, HORIZON, temperature) - soft_value(world, costs, HORIZON, temperature)
    if world.is_deterministic:
        assert abs(gap) < 1e-12
    else:
        assert gap > 1e-3


@worlds
def test_kl_to_the_model_is_log_z_less_soft_value(world):
    """KL(q || p_theta) = log Z - soft_value for the best q, DESIGN.md's L_sampler = KL - log Z."""
    every, costs = Everything.of(world), some_costs()
    log_model = (every.log_world - every.costs(costs)).log_softmax(0)
    log_best = every.log_world + every.log_q(causal_backup(world, costs, HORIZON).log_policy)
    kl = log_best.exp() @ (log_best - log_model)
    torch.testing.assert_close(kl, log_z(world, costs, HORIZON) - soft_value(world, costs, HORIZON), rtol=0, atol=1e-12)


@worlds
@temperatures
def test_gradients_are_minus_the_occupancies(world, temperature):
    costs = some_costs(HORIZON, STATES, ACTIONS).requires_grad_()
    (found,) = torch.autograd.grad(log_z(world, costs, HORIZON, temperature), costs)
    torch.testing.assert_close(found, -model_occupancy(world, costs, HORIZON, temperature).detach() / temperature)
    (found,) = torch.autograd.grad(soft_value(world, costs, HORIZON, temperature), costs)
    best = causal_backup(world, costs.detach(), HORIZON, temperature).log_policy
    torch.testing.assert_close(found, -occupancy(world, best) / temperature)


def test_the_gradient_of_a_discounted_value_is_the_discounted_occupancy():
    world, costs = WORLDS["chance"], some_costs(STATES, ACTIONS).requires_grad_()
    (found,) = torch.autograd.grad(soft_value(world, costs, HORIZON, discount=0.8), costs)
    visits = occupancy(world, causal_backup(world, costs.detach(), HORIZON, discount=0.8).log_policy)
    torch.testing.assert_close(found, -torch.einsum("t,tsa->sa", 0.8 ** torch.arange(HORIZON).double(), visits))


@pytest.mark.parametrize(
    ("shape", "index"),
    [
        ((STATES,), (None, ..., None, None)),
        ((STATES, ACTIONS), (None, ..., None)),
        ((STATES, ACTIONS, STATES), (None,)),
        ((HORIZON, STATES, ACTIONS), (..., None)),
        ((HORIZON, STATES, ACTIONS, STATES), (...,)),
    ],
)
def test_costs_of_every_shape_are_the_same_costs_written_out(shape, index):
    world, costs = WORLDS["chance"], some_costs(*shape)
    whole = costs[index].expand(HORIZON, STATES, ACTIONS, STATES)
    for function in (log_z, soft_value):
        torch.testing.assert_close(function(world, costs, HORIZON), function(world, whole, HORIZON))
        torch.testing.assert_close(
            function(world, costs.float(), HORIZON), function(world, costs.float().double(), HORIZON)
        )
    torch.testing.assert_close(model_occupancy(world, costs, HORIZON), model_occupancy(world, whole, HORIZON))
    log_policy = some_policy()
    torch.testing.assert_close(expected_cost(world, costs, log_policy), expected_cost(world, whole, log_policy))


@pytest.mark.parametrize(
    ("shape", "horizon", "message"),
    [
        ((STATES + 1,), 4, r"costs have shape \[4\]; with 3 states, 2 actions and 4 steps"),
        ((5, STATES, ACTIONS), 4, r"\[5, 3, 2\]"),
        ((STATES,), 0, "horizon is 0"),
    ],
)
def test_other_shapes_are_refused(shape, horizon, message):
    with pytest.raises(ValueError, match=message):
        log_z(WORLDS["chance"], torch.zeros(shape), horizon)


def test_a_shape_that_can_be_read_in_two_ways_is_refused():
    world = RandomMDP(2, 2, branching=1)
    with pytest.raises(ValueError, match="may be of time or of the next state"):
        cost_table(world, torch.zeros(2, 2, 2), horizon=2)
    assert cost_table(world, torch.zeros(2, 2, 2), horizon=3).shape == (1, 2, 2, 2)


def test_a_certain_policy_has_no_entropy_and_no_nan():
    log_policy = torch.tensor([1.0, 0, 0, 0]).log().expand(5, 9, 4)
    assert causal_entropy(GridWorld(3, 3, slip=0.5), log_policy) == 0


def test_extreme_costs_stay_finite():
    world = WORLDS["chance"]
    for costs in (1e4 * some_costs(), -1e4 * some_costs()):
        for temperature in (1.0, 1e-2):
            values = log_z(world, costs, HORIZON, temperature), soft_value(world, costs, HORIZON, temperature)
            assert all(value.isfinite() for value in values)
            visits = model_occupancy(world, costs, HORIZON, temperature)
            torch.testing.assert_close(visits.sum((1, 2)), torch.ones(HORIZON).double())


def test_a_constant_cost_shifts_both_and_changes_nothing():
    world = RandomMDP(100, 4, branching=4, seed=42)
    free, paid = torch.zeros(100), torch.full((100,), 0.25)
    torch.testing.assert_close(log_z(world, free, 20), 20 * torch.tensor(4.0).double().log())
    torch.testing.assert_close(soft_value(world, free, 20), 20 * torch.tensor(4.0).double().log())
    torch.testing.assert_close(log_z(world, paid, 20), log_z(world, free, 20) - 5)
    torch.testing.assert_close(model_occupancy(world, paid, 20), model_occupancy(world, free, 20))
