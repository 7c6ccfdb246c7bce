"""Tabular worlds: their tables by hand, their draws against their tables."""

import pytest
import torch
from scipy.stats import chi2

from lightning_irl.dynamic_programming import occupancy
from lightning_irl.environments import CliffWorld, GridWorld, RandomMDP, TabularMDP
from lightning_irl.policies import TabularPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

WORLDS = {
    "grid": lambda: GridWorld(3, 4, slip=0.3),
    "sure grid": lambda: GridWorld(2, 2, start=[1, 0]),
    "cliff": CliffWorld,
    "random": lambda: RandomMDP(12, 3, branching=5, seed=1),
}
TABLE = [[[0.2, 0.0, 0.8], [0.0, 1.0, 0.0]], [[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], [[0.0, 0.0, 1.0], [0.3, 0.3, 0.4]]]


def event_of(world, horizon=4):
    return make_trajectory_event(horizon, [world.num_states], num_actions=world.num_actions)


def chi_square(counts, expected):
    """Probability of counts at least that far from what is expected of them; those that nothing is expected of must be
    empty.
    """
    assert (counts[expected == 0] == 0).all()
    counts, expected = counts[expected > 0], expected[expected > 0]
    return chi2.sf(float(((counts - expected).square() / expected).sum()), len(counts) - 1) if len(counts) > 1 else 1.0


@pytest.mark.parametrize("name", WORLDS)
def test_probabilities_sum_to_one(name):
    world = WORLDS[name]()
    for table in (world.transitions, world.initial):
        assert table.dtype == torch.float64
        assert (table >= 0).all()
        assert (table.sum(-1) - 1).abs().max() < 1e-15 * world.num_states


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_the_table(dtype):
    torch.manual_seed(0)
    world, num = TabularMDP(TABLE, [0.25, 0.0, 0.75], [0.0, 1.0, 2.0]), 20_000
    _, start = world.reset(num, dtype=dtype)
    assert start.dtype == dtype
    assert chi_square(start.sum(0).double(), num * world.initial) > 1e-3
    for state in range(3):
        for action in range(2):
            here = world.observe(torch.full((num,), state), dtype)
            step = world.step(here, torch.full((num,), action))
            assert step.observation.dtype == step.reward.dtype == dtype
            assert torch.equal(step.observation, step.state)
            assert not step.terminal.any()
            assert (step.reward == state).all()
            assert chi_square(step.observation.sum(0).double(), num * world.transitions[state, action]) > 1e-3


def test_a_draw_at_the_edge_stays_within_what_is_possible(monkeypatch):
    world = TabularMDP(TABLE, [0.0, 1.0, 0.0], [0.0] * 3)
    for unit, reached in ((0.0, [0, 0]), (1 - 2**-53, [2, 1])):  # the ends of what torch.rand gives in float64
        monkeypatch.setattr(torch, "rand", lambda *size, unit=unit, **kwargs: torch.full(size, unit, **kwargs))
        _, start = world.reset(2)
        assert start.argmax(-1).tolist() == [1, 1]
        states = world.observe(torch.tensor([0, 1]))
        assert world.step(states, torch.tensor([0, 0])).state.argmax(-1).tolist() == reached


def test_trajectories_visit_as_often_as_the_exact_occupancy_says():
    torch.manual_seed(0)
    world = RandomMDP(6, 3, branching=3, seed=3)
    sampler = PolicySampler(event_of(world), world, TabularPolicy)
    with torch.no_grad():
        sampler.policy.logits.normal_()
    expected, num = occupancy(world, sampler.policy.logits.detach().log_softmax(-1)), 20_000
    trajectory, rewards = sampler.rollout(num)[::2]
    cells = trajectory.observations[:, :-1].argmax(-1) * 3 + trajectory.actions
    for step in range(4):
        counts = torch.bincount(cells[:, step], minlength=18).double()
        assert chi_square(counts, num * expected[step].flatten()) > 1e-3
    assert torch.equal(rewards, world.rewards[trajectory.observations[:, :-1].argmax(-1)].float())


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 3)])
def test_rewards_are_of_the_state_left_the_action_and_the_state_reached(shape):
    torch.manual_seed(0)
    world = TabularMDP(
        TABLE, [1.0, 0.0, 0.0], torch.arange(3 ** len(shape)).double()[: torch.tensor(shape).prod()].view(shape)
    )
    state, _ = world.reset(50)
    for _ in range(3):
        action = torch.randint(2, (50,))
        step = world.step(state, action)
        places = zip(state.argmax(-1).tolist(), action.tolist(), step.state.argmax(-1).tolist(), strict=True)
        assert step.reward.tolist() == [float(world.rewards[place[: len(shape)]]) for place in places]
        assert torch.equal(world.reward(state, action, step.observation), step.reward)
        state = step.state


@pytest.mark.parametrize(
    ("world", "is_deterministic"),
    [
        (GridWorld(2, 2, start=[0, 0]), True),
        (GridWorld(2, 2), False),
        (GridWorld(2, 2, slip=0.1, start=[0, 0]), False),
        (CliffWorld(wind=0.0), True),
        (CliffWorld(), False),
        (RandomMDP(5, 2, branching=1), True),
        (RandomMDP(5, 2, branching=1, num_starts=2), False),
    ],
)
def test_is_deterministic(world, is_deterministic):
    assert world.is_deterministic is is_deterministic


def test_grid_moves_by_hand():
    world = GridWorld(2, 3, goals=[[0, 2, 5.0], [1, 0, -1.0]], step_reward=-0.1, start=[1, 1])
    assert world.initial.tolist() == [0, 0, 0, 0, 1, 0]
    torch.testing.assert_close(world.rewards, torch.tensor([-0.1, -0.1, 5, -1, -0.1, -0.1]).double())
    right, down, left, up = world.transitions.argmax(-1).T.tolist()
    assert right == [1, 2, 2, 4, 5, 5]
    assert down == [3, 4, 5, 3, 4, 5]
    assert left == [0, 0, 1, 3, 3, 4]
    assert up == [0, 1, 2, 0, 1, 2]


def test_a_slip_goes_anywhere():
    sure, slippery = GridWorld(3, 3).transitions, GridWorld(3, 3, slip=0.4).transitions
    expected = [[0, 0.1, 0], [0.1, 0, 0.7], [0, 0.1, 0]]  # from the middle to the right
    torch.testing.assert_close(slippery[4, 0].view(3, 3), torch.tensor(expected).double())
    torch.testing.assert_close(GridWorld(3, 3, slip=1.0).transitions[:, 2], sure.mean(1))


def test_cliff_moves_by_hand():
    world = CliffWorld(3, 4)  # S C C G / 4 5 6 7 / 8 9 10 11
    assert world.rewards.tolist() == [-1, -10, -10, 10] + [-1] * 8
    assert world.initial.argmax() == 0
    # down right from 5 to 10, or blown, to 6
    assert {
        int(cell): round(float(world.transitions[5, 3, cell]), 12) for cell in world.transitions[5, 3].nonzero()
    } == {10: 0.7, 6: 0.3}
    # down left from the corner 8 stays there, blown or not; up right from 11 reaches 7, or is blown to G
    assert {int(cell) for cell in world.transitions[8, 2].nonzero()} == {8}
    assert {int(cell) for cell in world.transitions[11, 1].nonzero()} == {7, 3}
    assert world.transitions[3, 1, 3] == pytest.approx(1)


def test_a_random_world_is_its_seeds_own():
    state = torch.get_rng_state()
    world, same, other = (RandomMDP(20, 3, branching=4, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(world.transitions, same.transitions)
    assert not torch.equal(world.transitions, other.transitions)
    assert (world.transitions > 0).sum(-1).unique().tolist() == [1, 2, 3, 4]
    assert (world.initial > 0).sum() == 4
    # the first probabilities of RandomTransitionEnv(n_states=20, n_actions=3, branch_factor=4, generator_seed=5) of
    # seals 0.2.1
    found = {int(cell): float(world.transitions[0, 0, cell]) for cell in world.transitions[0, 0].nonzero()}
    assert found == pytest.approx({0: 0.43676159, 14: 0.53288865, 16: 0.03034978}, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TabularMDP([[0.5, 0.5]], [1.0], [0.0]), r"transitions have shape \[1, 2\]; it must be \(S, A, S\)"),
        (lambda: TabularMDP(torch.ones(2, 3, 4), [1, 0], [0, 0]), r"transitions have shape \[2, 3, 4\]"),
        (lambda: TabularMDP([[[1.0]]], [1.0], [0.0]), "needs at least 2 to choose from"),
        (lambda: TabularMDP(TABLE, [1.0], [0.0] * 3), r"initial has shape \[1\]; it must be \(3,\)"),
        (lambda: TabularMDP(TABLE, [1.0, 0, 0], [0.0] * 2), r"rewards have shape \[2\]; .* of \[3, 2, 3\]"),
        (lambda: TabularMDP(TABLE, [1.0, 0, 0], 0.0), r"rewards have shape \[\]"),
        (lambda: TabularMDP(TABLE, [1.5, -0.5, 0], [0.0] * 3), "initial holds -0.5; probabilities are at least 0"),
        (lambda: TabularMDP(TABLE, [float("nan"), 1, 0], [0.0] * 3), "initial holds nan"),
        (lambda: TabularMDP(TABLE, [0.5, 0.4999, 0], [0.0] * 3), "initial sums to 1 only within 0.0001"),
        (lambda: TabularMDP(2 * torch.tensor(TABLE), [1.0, 0, 0], [0.0] * 3), "transitions sums to 1 only within 1"),
        (lambda: GridWorld(0, 3), "the grid has 0 rows and 3 columns"),
        (lambda: GridWorld(slip=1.2), "slip is 1.2; a probability"),
        (lambda: GridWorld(2, 2, start=[2, 0]), r"cell \[2, 0\] is not \[row, column\] on a grid of 2 rows"),
        (lambda: GridWorld(2, 2, goals=[[0, -1, 1.0]]), r"cell \[0, -1\] is not"),
        (lambda: GridWorld(2, 2, goals=[[0, 1.0]]), r"cell \[0\] is not \[row, column\]"),
        (lambda: CliffWorld(1, 7), "the grid has 1 rows and 7 columns"),
        (lambda: CliffWorld(wind=-0.1), "wind is -0.1"),
        (lambda: RandomMDP(4, 2, branching=5), "branching is 5; it must lie between 1 and the 4 states"),
        (lambda: RandomMDP(4, 2, branching=1, num_starts=0), "num_starts is 0"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_demonstrations_of_another_world_are_refused():
    with pytest.raises(ValueError, match=r"observation_shape is \[28\], environment GridWorld has \[25\]"):
        PolicySampler(event_of(CliffWorld()), GridWorld(), TabularPolicy)
