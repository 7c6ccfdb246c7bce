"""Trajectories, their segments, and costs along them."""

from functools import partial

import pytest
import torch

from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.spaces.event import log_action_mass, make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory, cut

EVENT = make_trajectory_event(6, [3], num_actions=2, absorbing=True)
CONTINUOUS = make_trajectory_event(6, [3], action_shape=[2], action_low=[-1, -1], action_high=[1, 2])


def trajectories(event=EVENT, ends=(6, 2, 4, 6)):
    """Episodes that end after so many steps; observation k of episode b is 10 b + k."""
    batch, horizon = len(ends), event["horizon"]
    numbers = 10.0 * torch.arange(batch)[:, None] + torch.arange(horizon + 1)
    mask = torch.arange(horizon) < torch.tensor(ends)[:, None]
    actions = torch.randint(2, (batch, horizon)) if event["num_actions"] else torch.rand(batch, horizon, 2)
    observations = numbers[..., None].expand(-1, -1, 3).clone()
    return Trajectory(observations, actions, mask, torch.tensor(ends) < horizon, torch.zeros(batch, dtype=torch.long))


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_segments_are_views_of_the_same_steps(length):
    whole = trajectories()
    parts = cut(whole, length)
    pieces = 6 // length
    assert parts.observations.shape == (4 * pieces, length + 1, 3)
    assert torch.equal(parts.actions.reshape(4, 6), whole.actions)
    assert torch.equal(parts.mask.reshape(4, 6), whole.mask)
    assert torch.equal(parts.time.reshape(4, 6), whole.time)
    assert torch.equal(parts.absorbed.reshape(4, 6), whole.absorbed)
    for index in range(len(parts.mask)):
        episode, piece = divmod(index, pieces)
        expected = 10 * episode + piece * length + torch.arange(length + 1)
        assert torch.equal(parts.observations[index, :, 0], expected.float())


def test_a_segment_is_terminal_once_the_episode_has_ended():
    ends = cut(trajectories(), 2).terminal.reshape(4, 3)
    assert ends.tolist() == [[False] * 3, [True] * 3, [False, True, True], [False] * 3]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_segments_start_where_their_trajectory_says(length):
    """Segments of segments are the same segments, and an episode's step is told through both."""
    whole = trajectories()._replace(start=torch.tensor([0, 12, 6, 30]))
    parts = cut(whole, length)
    assert torch.equal(parts.start, (whole.start[:, None] + torch.arange(0, 6, length)).flatten())
    assert torch.equal(parts.time.reshape(4, 6), whole.start[:, None] + torch.arange(6))
    for ours, theirs in zip(cut(parts, 1), cut(whole, 1), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(), (2,), (1, 4, 5)])
def test_observations_of_any_shape_are_cut_alike(shape):
    observations = torch.randn(3, 7, *shape)
    whole = trajectories(CONTINUOUS, (6, 6, 6))._replace(observations=observations)
    parts = cut(whole, 3)
    assert torch.equal(parts.observations, torch.stack([observations[:, :4], observations[:, 3:]], 1).flatten(0, 1))
    assert torch.equal(parts.actions, whole.actions.reshape(6, 3, 2))
    assert not parts.absorbed.any()


def test_the_whole_length_is_the_trajectory_itself():
    whole = trajectories()
    for ours, theirs in zip(cut(whole, 6), whole, strict=True):
        assert torch.equal(ours, theirs)


def test_masked_steps_without_an_end_are_not_absorbed():
    whole = trajectories()._replace(terminal=torch.zeros(4, dtype=torch.bool))
    assert not whole.absorbed.any()
    assert not cut(whole, 2).terminal.any()
    assert torch.equal(trajectories().absorbed, ~trajectories().mask)


def test_an_episode_that_ends_with_its_last_step_has_no_absorbed_one():
    whole = trajectories(ends=(6, 6))._replace(terminal=torch.tensor([True, False]))
    assert cut(whole, 2).terminal.reshape(2, 3).tolist() == [[False, False, True], [False] * 3]
    assert not whole.absorbed.any()


@pytest.mark.parametrize("length", [-1, 0, 4, 5, 7])
def test_segments_must_divide(length):
    with pytest.raises(ValueError, match="divisor"):
        cut(trajectories(), length)


def build(event, **options):
    cost = TrajectoryCost(event, partial(MLPStepCost, **options)).double()
    with torch.no_grad():
        for parameter in cost.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cost


def double(trajectory):
    return trajectory._replace(observations=trajectory.observations.double() / 10)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("event", [EVENT, CONTINUOUS], ids=["discrete", "continuous"])
def test_a_trajectory_costs_what_its_segments_cost(event, length):
    whole = double(trajectories(event, (6, 2, 4, 6) if event["absorbing"] else (6, 6, 6, 6)))
    if not event["num_actions"]:
        whole = whole._replace(actions=whole.actions.double())
    cost = build(event)
    assert torch.allclose(cost(cut(whole, length)).reshape(4, -1).sum(1), cost(whole))


def test_padding_costs_nothing_and_absorbed_steps_one_scalar_each():
    whole, cost = double(trajectories()), build(EVENT)
    other = whole._replace(
        observations=torch.where(
            torch.cat([torch.ones(4, 1, dtype=torch.bool), whole.mask], 1)[..., None], whole.observations, 7.0
        ),
        actions=torch.where(whole.mask, whole.actions, 1),
    )
    assert torch.equal(cost(whole), cost(other))
    unended = cost(whole._replace(terminal=torch.zeros(4, dtype=torch.bool)))
    assert torch.allclose(cost(whole) - unended, cost.absorbing_cost * torch.tensor([0.0, 4, 2, 0]).double())


def test_a_constant_cost_gives_no_reason_to_live_or_die():
    """With steps for nothing, dying pays exactly the largest entropy that a living step could."""
    cost = TrajectoryCost(EVENT, MLPStepCost)
    assert cost.absorbing_cost.item() == pytest.approx(-log_action_mass(EVENT))


def test_a_cost_of_states_alone_does_not_see_the_action():
    whole, cost = double(trajectories()), build(EVENT, inputs="state")
    assert torch.equal(cost(whole), cost(whole._replace(actions=1 - whole.actions)))
    seeing = build(EVENT)
    assert not torch.equal(seeing(whole), seeing(whole._replace(actions=1 - whole.actions)))


@pytest.mark.parametrize("inputs", ["state", "state_action", "state_next", "state_action_next"])
def test_every_parameter_of_a_step_cost_gets_a_gradient(inputs):
    cost = build(EVENT, inputs=inputs, sees_time=True)
    cost(double(trajectories())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in cost.parameters())


def test_what_is_no_trajectory_is_refused():
    with pytest.raises(TypeError, match="Trajectory"):
        TrajectoryCost(EVENT, MLPStepCost)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="inputs"):
        MLPStepCost(EVENT, inputs="nothing")
