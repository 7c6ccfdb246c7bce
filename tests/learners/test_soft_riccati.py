"""SoftRiccati leaves the policy of the Riccati recursion for the current cost, under every view."""

from functools import partial

import pytest
import torch

from lightning_irl.costs import MLPStepCost, QuadraticStepCost, TrajectoryCost, TrueRewardCost
from lightning_irl.costs.step import StepCost
from lightning_irl.dynamic_programming.riccati import attained_value, soft_riccati, soft_value, true_steps
from lightning_irl.environments import LinearQuadratic, Pendulum
from lightning_irl.learners import SoftRiccati
from lightning_irl.policies import GaussianPolicy, TimeVaryingLinearGaussianPolicy
from lightning_irl.samplers import GaussianSampler, PolicySampler
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.verification import verify
from lightning_irl.views import EBM, IRL

HORIZON = 6
WORLDS = {
    "chance": LinearQuadratic(noise_covariance=[[0.02, 0.0], [0.0, 0.05]], action_cost=[[0.1]]),
    "certain": LinearQuadratic(action_cost=[[0.1]]),
}
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
EVENT = make_trajectory_event(
    HORIZON, [2], action_shape=[1], observation_location=[0.3, -0.1], observation_scale=[2.0, 0.5]
)
AFFINE = partial(QuadraticStepCost, hidden=[], action_weight=0.3)


class NextState(StepCost):
    """A quadratic of the state that is reached."""

    def forward(self, observation, action, next_observation, time):
        return next_observation.square().sum(-1) + action.squeeze(-1).square() * (1 + time)


def build(world, view=IRL, step_cost=AFFINE, **options):
    sampler = partial(PolicySampler, environment=world, policy=TimeVaryingLinearGaussianPolicy)
    options = {"learner": SoftRiccati, "num_samples": 20, **options}
    torch.manual_seed(0)
    return view(EVENT, partial(TrajectoryCost, step_cost=step_cost), sampler, **options).double()


def solve(view):
    samples, _ = view.sampler.sample(4)
    assert view.learner.begin(view.sampler, view.step_objective, samples) == 0
    policy = view.sampler.policy
    return policy.gains.detach(), policy.offsets.detach(), policy.covariances.detach()


@worlds
@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.5}, {"entropy_weight": 3.0, "temperature": 2.0}, {"level": "transition"}]
)
def test_the_true_reward_is_solved_for(world, options):
    view = build(world, step_cost=partial(TrueRewardCost, environment=world), **options)
    expected = soft_riccati(world, true_steps(world, HORIZON, view.temperature * view.entropy_weight))[1]
    for found, part in zip(solve(view), expected, strict=True):
        torch.testing.assert_close(found, part, rtol=0, atol=1e-9)


@pytest.mark.long
@worlds
@pytest.mark.parametrize("view", [EBM, IRL])
@pytest.mark.parametrize("step_cost", [AFFINE, NextState], ids=["affine", "next state"])
def test_nothing_that_is_near_is_better(world, view, step_cost):
    """By the sampler's own objective, at common random numbers: its pathwise gradient vanishes within its standard
    error.
    """
    view = build(world, view, step_cost=step_cost)
    solve(view)
    parameters = list(view.sampler.policy.parameters())
    gradients = []
    for _ in range(60):
        samples, log_q = view.sampler.rsample(200)
        loss = view.step_objective(samples, log_q).mean()
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]))
    gradients = torch.stack(gradients)
    assert (gradients.mean(0).abs() <= 5 * gradients.std(0) / 60**0.5 + 1e-9).all()


def test_what_a_step_costs_is_found_exactly():
    world = WORLDS["chance"]
    view = build(world, step_cost=partial(TrueRewardCost, environment=world), temperature=0.5)
    steps, weight = view.learner.quadratic_steps(world, view.step_objective, HORIZON, torch.float64)
    for found, expected in zip(steps, true_steps(world, HORIZON, 0.5), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert weight == 1
    torch.testing.assert_close(
        attained_value(world, steps, soft_riccati(world, steps)[1]), soft_value(world, steps), rtol=0, atol=1e-10
    )


def test_single_precision_keeps_its_own_digits():
    world = WORLDS["chance"]
    expected = soft_riccati(world, true_steps(world, HORIZON))[1]
    found = solve(build(world, step_cost=partial(TrueRewardCost, environment=world)).float())
    for part, truth in zip(found, expected, strict=True):
        torch.testing.assert_close(part.double(), truth, rtol=1e-4, atol=1e-4)


@worlds
def test_the_papers_facts_hold(world):
    view = build(world)
    assert verify(view, build(world).sampler.sample(12)[0]).exit_code == 0


def test_a_cost_that_is_not_quadratic_is_refused():
    with pytest.raises(ValueError, match=r"off a quadratic's by .* use QuadraticStepCost with hidden"):
        solve(build(WORLDS["chance"], step_cost=partial(MLPStepCost, hidden=[8])))


def test_an_objective_without_entropy_is_refused():
    with pytest.raises(ValueError, match="SoftRiccati solves for an objective that is a cost plus a positive multiple"):
        solve(build(WORLDS["chance"], entropy_weight=0.0))


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (
            lambda: GaussianSampler(make_event("point", [2])),
            "LinearQuadratic, whose dynamics are known, not GaussianSampler",
        ),
        (
            lambda: PolicySampler(make_trajectory_event(HORIZON, [3], action_shape=[1]), Pendulum(), GaussianPolicy),
            "not PolicySampler in Pendulum; set learner",
        ),
        (
            lambda: PolicySampler(EVENT, WORLDS["chance"], GaussianPolicy),
            "a TimeVaryingLinearGaussianPolicy, not GaussianPolicy",
        ),
    ],
)
def test_other_samplers_are_refused(sampler, message):
    with pytest.raises(ValueError, match=message):
        SoftRiccati(EVENT).check(sampler())
