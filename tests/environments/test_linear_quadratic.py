"""Linear-quadratic worlds against their own equations: one step by hand, moments of many, the marginals of a controlled
state.
"""

import math

import pytest
import torch

from lightning_irl.environments import LinearQuadratic
from lightning_irl.policies import TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event

NUM = 40_000
STATE = [[1.0, 0.1], [-0.2, 0.9]]
ACTION = [[0.0, 0.3], [0.1, -0.5]]
NOISE = [[0.5, 0.2], [0.2, 0.3]]
START = [[2.0, -0.6], [-0.6, 0.5]]


def build(**options):
    return LinearQuadratic(
        STATE, ACTION, noise_covariance=NOISE, initial_mean=[1.0, -2.0], initial_covariance=START, **options
    )


def has_moments(values, mean, covariance):
    """Of Gaussian draws (N, n): within five standard errors, those of a covariance by Isserlis' theorem."""
    mean, covariance = (torch.as_tensor(part, dtype=torch.float64) for part in (mean, covariance))
    variances = covariance.diagonal()
    error = ((variances[:, None] * variances + covariance.square()) / len(values)).sqrt()
    near = ((values.mean(0) - mean).abs() <= 5 * (variances / len(values)).sqrt() + 1e-12).all()
    return bool(near and ((torch.cov(values.mT) - covariance).abs() <= 5 * error + 1e-12).all())


def test_starts_and_noise_have_their_moments():
    torch.manual_seed(0)
    world = build()
    state, observation = world.reset(NUM, dtype=torch.float64)
    assert torch.equal(state, observation)
    assert has_moments(state, [1.0, -2.0], START)
    start = torch.tensor([[0.5, -1.0]], dtype=torch.float64).repeat(NUM, 1)
    action = torch.tensor([[2.0, 1.0]], dtype=torch.float64).repeat(NUM, 1)
    # A s = (0.4, -1.0) and B a = (0.3, -0.3)
    assert has_moments(world.step(start, action).observation, [0.7, -1.3], NOISE)


def test_noise_of_fewer_directions_than_the_state_has():
    torch.manual_seed(0)
    flat = torch.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
    world = LinearQuadratic(initial_covariance=flat, noise_covariance=[[0, 0], [0, 0.25]])
    state, _ = world.reset(NUM, dtype=torch.float64)
    assert has_moments(state, [0.0, 0.0], flat)
    torch.testing.assert_close(state[:, 1], 2 * state[:, 0], rtol=0, atol=1e-6)
    following = world.step(state, torch.zeros(NUM, 1, dtype=torch.float64)).observation
    torch.testing.assert_close(following[:, 0], state[:, 0] + 0.1 * state[:, 1], rtol=0, atol=1e-12)


def test_the_reward_is_of_the_state_before():
    world = build(state_cost=[[2.0, 1.0], [1.0, 4.0]], action_cost=[[1.0, 0.5], [0.5, 3.0]])
    state, action = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0, 1.0]])
    step = world.step(state, action)
    # s Q s = 2 - 2 + 4, a R a = 4 + 2 + 3
    assert step.reward.item() == -(4.0 + 9.0) / 2
    assert step.terminal.tolist() == [False]
    parts = state.expand(3, 4, 2), action.expand(3, 4, 2), step.observation.expand(3, 4, 2)
    assert torch.equal(world.reward(*parts), torch.full((3, 4), -6.5))


def test_a_controlled_state_has_the_moments_of_the_recursion():
    """m' = (A + B K) m + B k and S' = (A + B K) S (A + B K)^T + B Sigma B^T + W, through the
    sampler that is trained.
    """
    horizon, world = 4, build()
    sampler = PolicySampler(
        make_trajectory_event(horizon, [2], action_shape=[2]), world, TimeVaryingLinearGaussianPolicy
    ).double()
    torch.manual_seed(0)
    gains, offsets = 0.5 * torch.randn(horizon, 2, 2).double(), torch.randn(horizon, 2).double()
    covariances = torch.tensor([[1.0, 0.3], [0.3, 0.2]]).double().expand(horizon, 2, 2)
    sampler.policy.assign(gains, offsets, covariances)
    observations = sampler.sample(NUM)[0].observations
    mean, spread = world.initial_mean, world.initial_covariance
    for time in range(horizon):
        closed = world.state_matrix + world.action_matrix @ gains[time]
        mean = closed @ mean + world.action_matrix @ offsets[time]
        pushed = world.action_matrix @ covariances[time] @ world.action_matrix.mT
        spread = closed @ spread @ closed.mT + pushed + world.noise_covariance
        assert has_moments(observations[:, time + 1], mean, spread)


def test_the_action_can_be_differentiated_through():
    world = build()
    action = torch.zeros(3, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(world.step(torch.zeros(3, 2), action).observation[:, 1].sum(), action)
    torch.testing.assert_close(slope, torch.tensor([[0.1, -0.5]]).expand(3, 2))


def test_nothing_waits_for_a_device_and_nothing_is_made_on_another():
    world = build()
    with torch.device("meta"):
        state, _ = world.reset(4, device="cpu")
        step = world.step(state, torch.zeros(4, 2, device="cpu"))
    assert {part.device.type for part in (state, step.observation, step.reward, step.terminal)} == {"cpu"}
    state, _ = world.to("meta").reset(4, device="meta")
    world.step(state, torch.zeros(4, 2, device="meta"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"state_matrix": [[1.0]]}, r"state_matrix has shape \[1, 1\]; it must be \[2, 2\]"),
        ({"action_matrix": [0.0, 0.1]}, r"action_matrix has shape \[2\]; it must be \(n, d\)"),
        ({"action_cost": [[1.0, 0.0], [0.0, 1.0]]}, r"action_cost has shape \[2, 2\]; it must be \[1, 1\]"),
        ({"state_cost": [[1.0, 0.5], [0.0, 1.0]]}, "state_cost is not symmetric"),
        ({"noise_covariance": [[1.0, 2.0], [2.0, 1.0]]}, "noise_covariance has the eigenvalue -1; a covariance has"),
        ({"initial_covariance": [[math.nan, 0.0], [0.0, 1.0]]}, "initial_covariance"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        LinearQuadratic(**options)
