"""IRL solved exactly: experts whose occupancies are known, derivatives against autograd, and demonstrations without a
solution.
"""

import time
from functools import partial

import pytest
import torch

from lightning_irl.dynamic_programming import (
    causal_backup,
    causal_entropy,
    log_z,
    maximum_causal_entropy,
    model_occupancy,
    occupancy,
    soft_value,
    trajectory_maxent,
)
from lightning_irl.dynamic_programming.exact_irl import _Causal, _Target, _Trajectories
from lightning_irl.environments import CliffWorld, GridWorld, RandomMDP
from lightning_irl.policies import TabularPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

HORIZON = 8
WORLDS = {
    "random": RandomMDP(12, 3, branching=3, seed=0),
    "grid": GridWorld(3, 3, slip=0.2),
    "cliff": CliffWorld(3, 4),
    "certain": GridWorld(3, 3, start=[0, 0]),
}
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
SOLVERS = {
    maximum_causal_entropy: lambda world, costs, horizon: occupancy(
        world, causal_backup(world, costs, horizon).log_policy
    ),
    trajectory_maxent: model_occupancy,
}
solvers = pytest.mark.parametrize(
    ("solve", "visits"), SOLVERS.items(), ids=lambda value: getattr(value, "__name__", "")
)


def demonstrations_of(world, num, horizon=HORIZON):
    """Trajectories of the soft-optimal expert of the true reward."""
    event = make_trajectory_event(horizon, [world.num_states], num_actions=world.num_actions)
    sampler = PolicySampler(event, world, TabularPolicy)
    with torch.no_grad():
        sampler.policy.logits.copy_(causal_backup(world, -world.rewards, horizon).log_policy)
    return sampler.sample(num)[0]


@worlds
@solvers
@pytest.mark.parametrize("features", ["state", "state_action"])
def test_the_occupancy_of_a_true_cost_is_matched(world, solve, visits, features):
    goal = visits(world, -world.rewards, HORIZON)
    found = solve(world, goal, features=features)
    assert found.is_converged, found.reason
    assert found.reason == ""
    assert max(found.gap, found.slope) <= 1e-8
    # the cost is not unique, but what it makes its model do is, at every step
    assert (found.occupancy - goal).abs().sum((1, 2)).max() < 1e-6
    torch.testing.assert_close(found.occupancy, visits(world, found.cost, HORIZON))
    torch.testing.assert_close(found.occupancy.sum((1, 2)), torch.ones(HORIZON).double())


@worlds
def test_the_loss_is_the_entropy_of_what_is_found(world):
    goal = occupancy(world, causal_backup(world, -world.rewards, HORIZON).log_policy)
    found = maximum_causal_entropy(world, goal)
    expected = (goal.sum(0) * found.cost).sum() + soft_value(world, found.cost, HORIZON)
    assert found.loss == pytest.approx(float(expected), abs=1e-9)
    assert found.loss == pytest.approx(float(causal_entropy(world, found.log_policy)), abs=1e-6)


def test_where_nothing_is_left_to_chance_both_are_one():
    world = WORLDS["certain"]
    goal = occupancy(world, causal_backup(world, -world.rewards, HORIZON).log_policy)
    causal, whole = (solve(world, goal, features="state") for solve in SOLVERS)
    torch.testing.assert_close(causal.occupancy, whole.occupancy, rtol=0, atol=1e-7)
    assert causal.loss == pytest.approx(whole.loss, abs=1e-9)


def test_where_something_is_p_theta_is_luckier_than_the_policy_of_the_same_demonstrations():
    world = WORLDS["cliff"]
    demonstrations = demonstrations_of(world, 200)
    causal, whole = (solve(world, demonstrations, penalty=1e-3) for solve in SOLVERS)
    assert float(log_z(world, causal.cost, HORIZON) - soft_value(world, causal.cost, HORIZON)) > 0.1
    assert (causal.occupancy - whole.occupancy).abs().sum() > 0.01


DUALS = {
    "causal": lambda world, target: (_Causal(world, target, 0.3, 1.0), partial(soft_value, world, horizon=HORIZON)),
    "discounted": lambda world, target: (
        _Causal(world, target, 0.3, 0.8),
        partial(soft_value, world, horizon=HORIZON, discount=0.8),
    ),
    "trajectories": lambda world, target: (_Trajectories(world, target, 0.3), partial(log_z, world, horizon=HORIZON)),
}


@pytest.mark.parametrize("name", DUALS)
@pytest.mark.parametrize("features", ["state", "state_action", "tensor"])
def test_gradient_and_hessian_are_autograds(name, features):
    world = WORLDS["random"]
    phi = torch.randn(12, 3, 5).double() if features == "tensor" else features
    goal = occupancy(world, torch.zeros(HORIZON, 12, 3).double().log_softmax(-1))
    discount = 0.8 if name == "discounted" else 1.0
    target = _Target.of(world, goal, None, phi, discount)
    dual, normaliser = DUALS[name](world, target)
    weights = torch.randn_like(target.goal)

    def loss(weights):
        return target.goal @ weights + normaliser(costs=target.lift(weights)) + 0.15 * weights.square().sum()

    point = dual(weights)
    assert point.value == pytest.approx(float(loss(weights)), rel=1e-12)
    torch.testing.assert_close(point.gradient, torch.autograd.functional.jacobian(loss, weights))
    torch.testing.assert_close(point.hessian(), torch.autograd.functional.hessian(loss, weights), rtol=1e-9, atol=1e-10)


@solvers
def test_demonstrations_may_be_trajectories_or_occupancies(solve, visits):
    world = WORLDS["grid"]
    trajectories = demonstrations_of(world, 50)
    cells = trajectories.observations[:, :-1].argmax(-1) * 4 + trajectories.actions
    steps = torch.stack([torch.bincount(cells[:, step], minlength=36) for step in range(HORIZON)]).view(-1, 9, 4) / 50
    options = {"features": "state", "penalty": 0.1}
    expected = solve(world, trajectories, **options)
    for given in (steps, steps.double().sum(0), steps.double().sum((0, 2))):
        found = solve(world, given, horizon=HORIZON, **options)
        torch.testing.assert_close(found.weights, expected.weights, rtol=1e-6, atol=1e-6)


def test_discounted_occupancies():
    world = WORLDS["grid"]
    goal = occupancy(world, causal_backup(world, -world.rewards, HORIZON, discount=0.7).log_policy)
    found = maximum_causal_entropy(world, goal, discount=0.7, features="state")
    assert found.is_converged
    assert (found.occupancy - goal).abs().sum((1, 2)).max() < 1e-6
    summed = torch.einsum("t,tsa->s", 0.7 ** torch.arange(HORIZON).double(), goal)
    again = maximum_causal_entropy(world, summed, HORIZON, discount=0.7, features="state")
    torch.testing.assert_close(again.weights, found.weights)


@solvers
def test_features_of_ones_own(solve, visits):
    """A cost linear in features that the expert's is linear in: the whole occupancy is matched, by few weights."""
    world = WORLDS["random"]
    for shape in ((12, 3), (12, 3, 3)):
        phi = torch.randn(shape).double()
        costs = phi @ torch.tensor([1.0, -2.0, 0.5]).double()
        goal = visits(world, costs, HORIZON)
        found = solve(world, goal, features=phi)
        assert found.is_converged
        assert found.weights.shape == (3,)
        torch.testing.assert_close(found.occupancy, goal, rtol=0, atol=1e-7)
        torch.testing.assert_close(found.cost, costs.view(12, -1).expand(12, 3), rtol=0, atol=1e-5)


def test_more_weights_than_a_hessian_can_have():
    world = GridWorld(12, 12, slip=0.1)
    goal = occupancy(world, causal_backup(world, -world.rewards, HORIZON).log_policy)
    found = maximum_causal_entropy(world, goal, tolerance=1e-5, max_steps=1000)
    assert len(found.weights) == 576
    assert found.is_converged, found.reason
    assert found.gap <= 1e-5
    assert found.loss == pytest.approx(float(causal_entropy(world, found.log_policy)), abs=1e-4)


@worlds
@solvers
@pytest.mark.parametrize("features", ["state", "state_action"])
def test_a_penalty_has_a_solution_for_any_demonstrations(world, solve, visits, features):
    found = solve(world, demonstrations_of(world, 2), features=features, penalty=0.5)
    assert found.is_converged
    assert found.slope <= 1e-8
    assert found.gap == pytest.approx(0.5 * float(found.weights.abs().sum()), abs=1e-7)
    stronger = solve(world, demonstrations_of(world, 2), features=features, penalty=5.0)
    assert stronger.weights.norm() < found.weights.norm()


@pytest.mark.parametrize("name", ["random", "grid", "cliff"])
def test_few_demonstrations_that_no_policy_can_match_are_told_at_once(name):
    world = WORLDS[name]
    begin = time.process_time()
    found = maximum_causal_entropy(world, demonstrations_of(world, 3))
    assert time.process_time() - begin < 2
    assert not found.is_converged
    assert found.slope > 0.1
    assert found.loss < 0  # of no policy is the entropy negative
    assert "set penalty" in found.reason
    assert "nothing matches these demonstrations" in found.reason


def test_few_demonstrations_that_a_policy_can_match_are_matched():
    """Where nothing is left to chance, any trajectories are some policy's; what they never do costs ever more, within
    the tolerance.
    """
    world = WORLDS["certain"]
    found = maximum_causal_entropy(world, demonstrations_of(world, 3))
    assert found.is_converged
    assert found.gap <= 1e-8


@solvers
def test_what_even_luck_cannot_do_is_told(solve, visits):
    """Always in the corner opposite the only start."""
    world = WORLDS["certain"]
    demonstrations = demonstrations_of(world, 3)
    there = world.observe(torch.full((3, HORIZON + 1), 8))
    found = solve(world, demonstrations._replace(observations=there))
    assert not found.is_converged
    assert "nothing matches" in found.reason


def test_too_few_steps_are_told():
    world = WORLDS["cliff"]
    goal = occupancy(world, causal_backup(world, -world.rewards, HORIZON).log_policy)
    found = maximum_causal_entropy(world, goal, max_steps=3)
    assert not found.is_converged
    assert found.evaluations == 3
    assert "after 3 evaluations; raise max_steps" in found.reason


GOAL = torch.full((HORIZON, 9, 4), 1 / 36)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (GOAL, {"features": "actions"}, "features is 'actions'; allowed: state, state_action, or a tensor"),
        (GOAL, {"features": torch.zeros(9)}, r"features have shape \[9\]; it must be \(S, k\) or \(S, A, k\)"),
        (GOAL, {"features": torch.zeros(9, 3, 2)}, r"features have shape \[9, 3, 2\]"),
        (GOAL, {"horizon": 5}, r"the occupancy has shape \[8, 9, 4\] and the horizon is 5"),
        (GOAL.sum(0), {}, r"\[9, 4\] and the horizon is None"),
        (GOAL.sum(0), {"horizon": 9}, "the occupancy sums to 8, and must to 9, one for each action"),
        (GOAL.sum((0, 2)), {"horizon": 8}, "an occupancy of states alone needs features=state"),
        (torch.zeros(7), {"horizon": 8, "features": "state"}, r"the occupancy has shape \[7\]"),
    ],
)
def test_errors(given, options, message):
    for solve in SOLVERS:
        with pytest.raises(ValueError, match=message):
            solve(WORLDS["grid"], given, **options)


def test_trajectories_of_another_kind_are_refused():
    world = WORLDS["grid"]
    demonstrations = demonstrations_of(world, 3)
    with pytest.raises(ValueError, match=r"demonstrations have 8 steps, some .* horizon of 5"):
        maximum_causal_entropy(world, demonstrations, horizon=5)
    with pytest.raises(ValueError, match="whole horizon"):
        maximum_causal_entropy(world, demonstrations._replace(mask=torch.zeros_like(demonstrations.mask)))
    with pytest.raises(ValueError, match=r"demonstrations observe \[9\]; states .* one-hot vectors of 12"):
        maximum_causal_entropy(WORLDS["random"], demonstrations)


def test_the_issues_target():
    """100 states x 4 actions, 20 steps: occupancies within 1e-6, in at most a CPU second (with room for a busy
    machine).
    """
    for world, horizon in ((RandomMDP(100, 4, branching=4, seed=42), 20), (CliffWorld(4, 7), 40)):
        goal = occupancy(world, causal_backup(world, -world.rewards, horizon).log_policy)
        begin = time.process_time()
        found = maximum_causal_entropy(world, goal, features="state")
        assert time.process_time() - begin < 2
        assert (found.occupancy - goal).sum(0).abs().sum() < 1e-6
