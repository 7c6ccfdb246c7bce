"""The point-mass maze against MuJoCo's own numbers, closed forms, and walls that nothing passes."""

import math

import pytest
import torch

from lightning_irl.environments import PointMassMaze
from lightning_irl.policies import UniformPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

HORIZON = 100
GAPS = pytest.mark.parametrize("gap", ["left", "right", "both"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
MASS = 0.1130973355  # kg: a sphere of 3 cm of the density of water


def start(environment, velocity=(0.0, 0.0), num=1):
    """At rest at (0.3, 0), or with a velocity in m/s: a substep is 0.01 s, the unit 0.05 m."""
    (position, _), _ = environment.reset(num, dtype=torch.float64)
    return position, 0.2 * torch.tensor(velocity, dtype=torch.float64)[:, None].repeat(1, num)


def run(environment, actions, velocity=(0.0, 0.0)):
    """Observations (T, 4) and rewards (T,) after forces (T, 2) on one mass."""
    state, observations, rewards = start(environment, velocity), [], []
    for action in torch.as_tensor(actions, dtype=torch.float64):
        state, observation, reward, _ = environment.step(state, action[None])
        observations.append(observation[0])
        rewards.append(reward[0])
    return torch.stack(observations), torch.stack(rewards)


# ---- known answers


def test_free_motion_is_mujocos():
    """Positions and velocities of MuJoCo 4.0 with the original's model (see the class), to the 4 digits printed."""
    found, _ = run(PointMassMaze(), [[1, 0.3], [1, 0.3], [-0.5, 1], [0, 0]], velocity=(0.01, -0.01))
    expected = [
        [0.3113, 0.0029, 0.3519, 0.0971],
        [0.3360, 0.0100, 0.5757, 0.1671],
        [0.3530, 0.0274, 0.2042, 0.4548],
        [0.3610, 0.0452, 0.1337, 0.2977],
    ]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=5.1e-5)


def test_free_motion_has_a_closed_form():
    """Under a constant force, of substeps implicit in the velocity: v_n = u (1 - k^n), k = m / (m + dt d)."""
    found, _ = run(PointMassMaze(), [[-0.3, 0.2]] * 4)
    kept = MASS / (MASS + 0.01)
    for index, steps in enumerate(range(5, 21, 5)):
        share = 1 - kept**steps
        travelled = 0.01 * (steps - kept * share / (1 - kept))
        expected = [0.3 - 0.3 * travelled, 0.2 * travelled, -0.3 * share, 0.2 * share]
        assert found[index].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("gap", "side"), [("left", -1), ("right", 1)])
def test_the_way_around_the_barrier_is_mujocos_up_to_the_softness_of_its_contacts(gap, side):
    """Up against the barrier, along it, around its end, along the upper wall. MuJoCo's contacts keep 2.7 mm more
    distance.
    """
    script = [[0, 1]] * 12 + [[side, 0.2]] * 6 + [[-side, 1]] * 10
    found, _ = run(PointMassMaze(gap), script)
    expected = [
        [0.0, 0.1077],
        [0.0, 0.2491],
        [0.0, 0.2473],
        [0.1077, 0.2470],
        [0.2200, 0.2968],
        [0.0960, 0.4618],
        [-0.0900, 0.5473],
    ]
    expected = torch.tensor(expected, dtype=torch.float64) * torch.tensor([side, 1]) + torch.tensor([0.3, 0.0])
    assert torch.allclose(found[3::4, :2], expected, rtol=0, atol=0.006)
    assert found[10].tolist() == pytest.approx([0.3, 0.25, 0, 0], abs=1e-12)  # at rest, at 0.05 from the barrier's line


@GAPS
def test_walls_and_barrier_are_where_the_original_has_them(gap):
    """The surfaces on which masses come to rest that are pushed into them, straight and with a slide."""
    environment = PointMassMaze(gap)
    ends = {"left": (0.15, None), "right": (None, 0.45), "both": (0.15, 0.45)}[gap]
    for direction, expected in (
        ((-1, 0), (-0.05, 0)),
        ((1, 0), (0.55, 0)),
        ((0, -1), (0.3, -0.05)),
        ((0, 1), (0.3, 0.25)),
    ):
        observation = run(environment, [direction] * 40)[0][-1]
        assert observation.tolist() == pytest.approx([*expected, 0, 0], abs=1e-9)
    for side, end in zip((-1, 1), ends, strict=True):
        observation = run(environment, [[side, 0]] * 40 + [[0, 1]] * 60)[0][-1]
        height = 0.25 if end is None else 0.55
        assert observation[1].item() == pytest.approx(height, abs=1e-9)


@DTYPES
def test_the_reward_is_distance_and_effort_before_the_step(dtype):
    environment = PointMassMaze()
    state, observation = environment.reset(6, dtype=dtype)
    for _ in range(5):
        action = 2 * torch.randn(6, 2, dtype=dtype)
        step = environment.step(state, action)
        distance = (observation[:, :2] - torch.tensor([0.3, 0.5], dtype=dtype)).square().sum(1).sqrt()
        expected = -distance - 0.001 * action.clamp(-1, 1).square().sum(1)
        tolerance = 1e-6 if dtype == torch.float32 else 1e-12
        assert torch.allclose(step.reward, expected, rtol=0, atol=tolerance)
        assert torch.allclose(environment.reward(observation, action, step.observation), expected, atol=tolerance)
        assert step.observation.dtype == step.reward.dtype == dtype
        assert not step.terminal.any()
        state, observation = step.state, step.observation
    assert (action.abs() > 1).any()


def test_forces_are_clipped():
    actions = 4 * torch.rand(30, 2) - 2
    for found, expected in zip(run(PointMassMaze(), actions), run(PointMassMaze(), actions.clamp(-1, 1)), strict=True):
        assert torch.equal(found, expected)


def steer(observation, way, strength=40.0):
    """Past the barrier's end at x = ``way``, then to the target."""
    position, velocity = observation[:, :2], observation[:, 2:]
    below = torch.tensor([way, 0.34], dtype=observation.dtype).expand_as(position)
    goal = torch.where(position[:, 1:] < 0.3, below, torch.tensor([0.3, 0.5], dtype=observation.dtype))
    return (strength * (goal - position) - 4 * velocity).clamp(-1, 1)


def steered_return(gap, way):
    environment = PointMassMaze(gap)
    state, observation = environment.reset(16)
    total = torch.zeros(16)
    for _ in range(HORIZON):
        state, observation, reward, _ = environment.step(state, steer(observation, way))
        total += reward
    return total


def test_what_has_learnt_one_way_fails_when_the_gap_moves():
    """In the paper too: returns near -8 for learning anew by the true reward, near -30 where what was learnt leads the
    old way.
    """
    for gap, way in (("left", 0.12), ("right", 0.48), ("both", 0.12), ("both", 0.48)):
        assert ((steered_return(gap, way) > -5) & (steered_return(gap, way) < -4)).all()
    for gap, way in (("left", 0.48), ("right", 0.12)):
        assert (steered_return(gap, way) < -25).all()


def test_the_two_ways_are_each_others_mirror_image():
    """Until the mass meets an outer wall, which is not symmetrical about the start."""
    script = torch.tensor([[0.0, 1.0]] * 8 + [[0.5, 0.4]] * 8 + [[-0.5, 1.0]] * 8)
    right, rewards = run(PointMassMaze("right"), script)
    left, mirrored = run(PointMassMaze("left"), script * torch.tensor([-1.0, 1.0]))
    assert torch.allclose(rewards, mirrored, rtol=0, atol=1e-12)
    assert torch.allclose(left[:, 0] - 0.3, 0.3 - right[:, 0], rtol=0, atol=1e-12)
    assert torch.allclose(left[:, [1, 3]], right[:, [1, 3]], rtol=0, atol=1e-12)


# ---- properties


def distance_to_barrier(position, gap):
    low, high = {"left": (0.2, 0.6), "right": (-0.1, 0.4), "both": (0.2, 0.4)}[gap]
    nearest = torch.stack([position[..., 0].clamp(low, high), torch.full_like(position[..., 0], 0.3)], -1)
    return torch.linalg.vector_norm(position - nearest, dim=-1)


@GAPS
@DTYPES
def test_nothing_passes_a_wall(gap, dtype):
    """400 masses under forces that change seldom, half of them drawn to the target: every one of them stays in the free
    space, and who gets above the barrier's line crosses it in the gap. Some do, and many are at walls."""
    torch.manual_seed(0)
    environment, num = PointMassMaze(gap), 400
    state, observation = environment.reset(num, dtype=dtype)
    positions = [observation[:, :2]]
    for time in range(300):
        if time % 12 == 0:
            force = 6 * torch.rand(num, 2, dtype=dtype) - 3
        pull = steer(observation, [0.0, 0.3, 0.5][time // 30 % 3])
        state, observation, _, _ = environment.step(state, torch.where(torch.arange(num)[:, None] % 2 > 0, force, pull))
        positions.append(observation[:, :2])
        assert (torch.linalg.vector_norm(observation[:, 2:], dim=1) < 1.42).all()  # sqrt(2): forces of 1 N a coordinate
    path = torch.stack(positions).double()
    rounding = 1e-6 if dtype == torch.float32 else 1e-12
    assert path.min() >= -0.05 - rounding
    assert path.max() <= 0.55 + rounding
    assert (distance_to_barrier(path, gap) >= 0.05 - rounding).all()
    before, after = path[:-1], path[1:]
    crosses = (before[..., 1] - 0.3) * (after[..., 1] - 0.3) < 0
    share = ((0.3 - before[..., 1]) / (after[..., 1] - before[..., 1]))[crosses]
    at = before[..., 0][crosses] + share * (after[..., 0] - before[..., 0])[crosses]
    # the corner that the straight line between two steps cuts off is less than 0.02 m
    in_gap = {"left": at < 0.17, "right": at > 0.43, "both": (at < 0.17) | (at > 0.43)}[gap]
    assert in_gap.all()
    assert crosses.sum() > 50
    assert (path == 0.55).any() or (path > 0.55 - rounding).any()
    assert (distance_to_barrier(path, gap) < 0.05 + rounding).sum() > 100


@GAPS
def test_contacts_take_energy_and_have_no_friction(gap):
    """Sliding along the barrier is as free as in the open, and a blow stops what goes into the wall."""
    environment = PointMassMaze(gap)
    observations, _ = run(environment, [[0, 1]] * 20 + [[0.1, 1]] * 6)
    free, _ = run(environment, [[0.1, 0]] * 6)
    assert torch.allclose(observations[20:, 0], free[:, 0], rtol=0, atol=1e-9)
    assert torch.allclose(observations[20:, 2], free[:, 2], rtol=0, atol=1e-9)
    assert observations[12:, 3].abs().max() < 1e-9  # no rebound


def test_gradients_are_the_differences_quotients():
    """In the open, along a wall and around the barrier's end; central differences in float64."""
    environment = PointMassMaze()

    def last(actions):
        state, observation = start(environment), None
        for action in actions:
            state, observation, reward, _ = environment.step(state, action[None])
        return torch.cat([observation.flatten(), reward])

    script = [[0.0, 0.9]] * 8 + [[-0.4, 0.9]] * 8
    for steps in (3, 12, len(script)):
        actions = torch.tensor(script[:steps], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(last, (actions,), eps=1e-6, atol=1e-6, fast_mode=True)
    assert environment.is_differentiable
    position = last(actions)[:2].detach()
    assert position[0] < 0.199  # past the end of the barrier's line, and
    assert distance_to_barrier(position, "left").item() == pytest.approx(0.05, abs=1e-9)  # still along its surface


def test_episodes_start_as_the_original_does():
    state, observation = PointMassMaze().reset(4000)
    assert torch.equal(observation[:, :2], torch.tensor([[0.3, 0.0]]).expand(4000, 2))
    assert observation[:, 2:].abs().max() <= 0.01 + 1e-8
    assert observation[:, 2:].abs().max() > 0.0099
    assert observation[:, 2:].mean(0).abs().max() < 4 * 0.01 / math.sqrt(3 * 4000)
    assert state[0].shape == (2, 4000)


def test_position_alone_can_be_observed():
    whole, part = PointMassMaze("right"), PointMassMaze("right", observes_velocity=False)
    state = start(whole, (0.01, -0.005), num=3)
    actions = torch.rand(3, 2, dtype=torch.float64)
    expected, found = whole.step(state, actions), part.step(state, actions)
    assert part.reset(5)[1].shape == (5, 2)
    assert torch.allclose(found.observation, expected.observation[:, :2], rtol=0, atol=1e-15)
    reward = part.reward(part.observe(*state), actions, found.observation)
    assert torch.allclose(reward, expected.reward, rtol=0, atol=1e-12)


def test_a_policy_is_rolled_out_and_differentiated_through():
    event = make_trajectory_event(HORIZON, [4], action_shape=[2], action_low=[-1, -1], action_high=[1, 1])
    rollout = PolicySampler(event, PointMassMaze(), UniformPolicy).rollout(64)
    assert rollout.trajectory.mask.all()
    assert not rollout.trajectory.terminal.any()
    assert -50 < rollout.rewards.sum(1).mean() < -35


def test_nothing_is_made_on_another_device():
    """A tensor made without saying where lands on ``meta`` here, as it would on the CPU beside a GPU."""
    environment = PointMassMaze()
    with torch.device("meta"):
        state, observation = environment.reset(2, device="cpu")
        step = environment.step(state, torch.zeros(2, 2, device="cpu"))
        reward = environment.reward(observation, torch.zeros(2, 2, device="cpu"), step.observation)
    assert {part.device.type for part in (*state, *step.state, *step[1:], observation, reward)} == {"cpu"}


def test_an_unknown_gap_is_refused():
    with pytest.raises(ValueError, match="gap is 'top'; allowed: left, right, both"):
        PointMassMaze("top")
