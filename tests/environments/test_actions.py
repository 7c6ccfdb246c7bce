"""What actions are allowed: demonstrations and environment agree before anything is built, or are refused."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from gymnasium import spaces

from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.datamodules.importers import read
from lightning_irl.environments import CartPole, GymnasiumEnvironment, LinearQuadratic, Pendulum
from lightning_irl.environments.actions import agree
from lightning_irl.learners import PPO
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy, GaussianPolicy, UniformPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL
from lightning_irl.views.finite import NonFiniteError


class Echo(gymnasium.Env):
    """Shows in its observation which action was applied; the first coordinate has no upper bound."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(np.array([0.0, -1.0], np.float32), np.array([np.inf, 1.0], np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return action.copy(), 0.0, False, False, {}


class Bytes(gymnasium.Env):
    """Noise of bytes."""

    observation_space = spaces.Box(0, 255, (1, 4, 4), np.uint8)
    action_space = spaces.Discrete(2)


def of_class(kind: Any, **options: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment(factory=lambda num: gymnasium.vector.SyncVectorEnv([kind] * num), **options)


def pendulum(**options: Any) -> TrajectoryDataModule:
    """The demonstrations that ship, as a file that knows no bounds gives them."""
    whole = read("pendulum")
    return TrajectoryDataModule(
        Demonstrations(whole.observations, whole.actions, whole.rewards), num_demonstrations=10, **options
    )


def view(data: TrajectoryDataModule, environment: Any, policy: Any, **options: Any) -> IRL:
    cost = partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[4]))
    return IRL(
        data.event,
        cost,
        lambda event: PolicySampler(event, environment, policy),
        learner=partial(PPO, hidden=[4], passes=1),
        level="transition",
        num_samples=8,
        **options,
    )


def trainer() -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1, limit_train_batches=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )


def test_actions_are_recorded_as_applied_under_bounds_of_every_kind() -> None:
    rng = np.random.default_rng(0)
    actions = [np.clip(rng.normal(0.3, 0.5, (9, 2)), [0, -1], [np.inf, 1]) for _ in range(4)]
    observations = [np.concatenate([np.zeros((1, 2)), part]) for part in actions]
    data = TrajectoryDataModule(Demonstrations(observations, actions))
    sampler = PolicySampler(data.event, of_class(Echo), partial(ClippedGaussianPolicy, initial_std=2.0))
    assert sampler.event["action_low"] == [0, -1]
    assert sampler.event["action_high"] == [math.inf, 1]
    torch.manual_seed(0)
    rollout = sampler.rollout(64)
    drawn = rollout.trajectory
    torch.testing.assert_close(drawn.actions, drawn.observations[:, 1:], rtol=0, atol=1e-6)
    torch.testing.assert_close(rollout.log_q, sampler.step_log_prob(drawn))
    on_bound = drawn.actions == torch.tensor([0.0, -1.0])
    assert on_bound.float().mean((0, 1)).min() > 0.2  # the bounds were tried
    assert (drawn.actions[..., 0] > 2).any()
    assert sampler.at_random() is None  # no uniform over a half line


def test_a_policy_with_one_bound_is_a_density_and_an_atom_that_sum_to_one() -> None:
    event = make_trajectory_event(1, [1], action_shape=[1], action_low=[0], action_high=[math.inf])
    policy = ClippedGaussianPolicy(event, initial_std=1.3)
    grid = torch.linspace(0, 30, 300_001)[1:, None]
    nothing, time = torch.zeros(len(grid), 1), torch.zeros(len(grid), dtype=torch.long)
    inside = policy.log_prob(nothing, grid, time).exp().sum() * 1e-4
    atom = policy.log_prob(nothing[:1], torch.zeros(1, 1), time[:1]).exp()
    assert float(inside + atom) == pytest.approx(1, abs=1e-4)
    with torch.enable_grad():  # E[log pi] = F: its gradient against a difference
        torch.manual_seed(0)
        _, log_pi = policy.rsample(torch.zeros(200_000, 1), torch.zeros(200_000, dtype=torch.long))
        log_pi.mean().backward()

    def entropy(log_std: float) -> float:
        with torch.no_grad():
            policy.log_std.fill_(log_std)
            each = policy.log_prob(nothing, grid, time)
            one = policy.log_prob(nothing[:1], torch.zeros(1, 1), time[:1])
        return float((each.exp() * each).sum() * 1e-4 + (one.exp() * one).sum())

    at = math.log(1.3)
    slope = (entropy(at + 1e-2) - entropy(at - 1e-2)) / 2e-2
    assert float(policy.log_std.grad) == pytest.approx(slope, abs=0.01)  # type: ignore[arg-type]


def test_an_unbounded_coordinate_alone_is_anchored() -> None:
    event = make_trajectory_event(1, [1], action_shape=[2], action_low=[0, -1], action_high=[math.inf, 1])
    cost = MLPStepCost(event, hidden=[4])
    inputs = torch.zeros(1, 1, 1), torch.tensor([[[3.0, 0.5]]]), torch.zeros(1, 1, 1), torch.zeros(1, 1).long()
    anchor = cost(*inputs) - cost.network(cost.features(*inputs)).squeeze(-1)
    torch.testing.assert_close(anchor, torch.tensor([[4.5]]))
    with pytest.raises(ValueError, match="lack some"):
        UniformPolicy(event)


def test_bounds_that_the_data_does_not_know_are_the_environments() -> None:
    data = pendulum()
    beyond = (data.splits.train.actions.abs() > 2).float().mean()
    data = pendulum()
    data.splits.train.actions[0, :5] = 3.0  # drawn, not as applied
    built = view(data, Pendulum(), ClippedGaussianPolicy)
    assert beyond == 0
    assert built.event["action_low"] == built.cost.event["action_low"] == built.hparams["event"]["action_low"] == [-2]
    assert built.event["base_measure"] == "clipped"
    trainer().fit(built, data)
    assert data.splits.train.actions.abs().max() == 2
    assert data.event["action_low"] == [-2]
    with pytest.raises(ValueError, match=r"GaussianPolicy has a density for.*\[-2.0\] to \[2.0\].*ClippedGaussian"):
        view(pendulum(), Pendulum(), GaussianPolicy)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [([-1], [1], None), ([-3], [3], "beyond"), ([-1], [3], "beyond"), ([-2 - 1e-7], [2], "")],
)
def test_bounds_of_both_are_compared(low: list[float], high: list[float], words: str | None) -> None:
    event = make_trajectory_event(5, [3], action_shape=[1], action_low=low, action_high=high)
    if words == "beyond":
        with pytest.raises(
            ValueError, match=rf"between \[{low[0]}\] and \[{high[0]}\], environment Pendulum applies.*-2"
        ):
            agree(Pendulum(), event)
        return
    found = agree(Pendulum(), event)
    assert found.event == event
    assert found.mended == []
    if words is None:
        assert "the policy keeps to the data's" in found.doubts[0]
    else:
        assert found.doubts == []


@pytest.mark.parametrize("rate", [math.inf, 1e38])
def test_what_became_non_finite_first_is_heard_of_before_what_chokes_on_it(rate: float) -> None:
    data = TrajectoryDataModule("pendulum", num_demonstrations=10, horizon=200)
    environment = GymnasiumEnvironment("Pendulum-v1")
    built = view(data, environment, ClippedGaussianPolicy, sampler_optimizer=partial(torch.optim.SGD, lr=rate))
    data.steps_per_epoch = 3
    run = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(NonFiniteError, match=r"(sampler|learner)\S* (was|is) not finite (at|after) batch 0"):
        run.fit(built, data)


def test_actions_that_are_said_to_have_no_bounds_are_warned_of() -> None:
    event = make_trajectory_event(5, [3], action_shape=[1])
    found = agree(Pendulum(), event)
    assert found.event == event
    assert "recorded but never applied" in found.doubts[0]
    data = pendulum(base_measure="lebesgue")
    with pytest.warns(UserWarning, match="recorded but never applied"):
        trainer().fit(view(data, Pendulum(), GaussianPolicy), data)


def test_an_unbounded_world_takes_any_bounds() -> None:
    for bounds in ({}, {"action_low": [-1], "action_high": [1]}):
        event = make_trajectory_event(5, [2], action_shape=[1], **bounds)
        assert agree(LinearQuadratic(), event) == (event, [], [])


def lake(number: int | None = None) -> TrajectoryDataModule:
    """Down and right alone: 3 is never demonstrated."""
    states, actions = np.eye(16)[[0, 4, 8, 9, 13, 14, 15]], np.array([1, 1, 2, 1, 2, 2])
    return TrajectoryDataModule(
        Demonstrations([states] * 4, [actions] * 4, terminal=[True] * 4), absorbing=True, horizon=8, num_actions=number
    )


def test_a_guessed_number_of_actions_is_the_environments() -> None:
    environment = GymnasiumEnvironment("FrozenLake-v1", absorbing=True, kwargs={"is_slippery": False})
    built = view(lake(), environment, CategoricalPolicy)
    assert built.event["num_actions"] == built.cost.event["num_actions"] == 4
    assert "guessed" not in built.event
    assert (
        "3 were guessed from those demonstrated, but environment FrozenLake-v1 has 4"
        in built.sampler.agreement.mended[0]
    )  # type: ignore[union-attr]
    data = lake()
    trainer().fit(built, data)
    with pytest.raises(ValueError, match="num_actions is 3, environment FrozenLake-v1 has 4"):
        view(lake(3), environment, CategoricalPolicy)
    with pytest.raises(ValueError, match=r"hold action 2, environment CartPole has 2 actions, 0 to 1"):
        agree(CartPole(), lake().event)


def test_a_right_guess_changes_no_number() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(6, 4)) for _ in range(4)], [np.array([0, 1, 1, 0, 1])] * 4
    weights = []
    for number in (None, 2):
        torch.manual_seed(0)
        data = TrajectoryDataModule(Demonstrations(*parts), absorbing=True, num_actions=number)
        weights.append(torch.cat([p.flatten() for p in view(data, CartPole(), CategoricalPolicy).parameters()]))
    assert torch.equal(*weights)


def test_one_hot_actions_are_noticed_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    one_hot = [np.eye(2)[rng.integers(0, 2, 5)] for _ in range(4)]
    with pytest.warns(UserWarning, match=r"vector of 2 numbers, one of them 1.*argmax"):
        data = TrajectoryDataModule(Demonstrations([rng.normal(size=(6, 4))] * 4, one_hot), absorbing=True)
    with pytest.raises(ValueError, match=r"vectors of 2 numbers.*CartPole has 2 discrete.*argmax"):
        agree(CartPole(), data.event)


@pytest.mark.parametrize("kind", ["float32", "int64"])
def test_pixels_of_another_scale_are_refused(kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels, actions = [rng.integers(0, 256, (6, 1, 4, 4)) for _ in range(4)], [rng.integers(0, 2, 5) for _ in range(4)]
    environment = of_class(Bytes)
    agree(environment, TrajectoryDataModule(Demonstrations([p.astype("uint8") for p in pixels], actions)).event)
    agree(environment, TrajectoryDataModule(Demonstrations([p / 255 for p in pixels], actions)).event)
    data = TrajectoryDataModule(Demonstrations([p.astype(kind) for p in pixels], actions))
    with pytest.raises(ValueError, match=r"have a mean of 12\d.*scaled to \[0, 1\].*uint8"):
        agree(environment, data.event)
