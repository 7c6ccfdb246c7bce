"""What demonstrations and their environment say of each other, compared before training."""

from __future__ import annotations

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
from lightning_irl.environments import (
    CartPole,
    Environment,
    GridWorld,
    GymnasiumEnvironment,
    LinearQuadratic,
    Pendulum,
    PointMassMaze,
)
from lightning_irl.environments.agreement import doubts, outside, refuse
from lightning_irl.errors import UserError
from lightning_irl.learners import PPO
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.views import IRL


def lines(environment: Environment, data: TrajectoryDataModule) -> list[str]:
    refuse(environment, list(data.splits))
    return doubts(environment, data.splits.train, data.recorded_in)


def cut(name: str, lengths: list[int], **said: Any) -> Demonstrations:
    """Demonstrations that ship, each cut after so many steps."""
    whole = read(name)
    observations = [part[: steps + 1] for part, steps in zip(whole.observations, lengths, strict=False)]
    actions = [part[:steps] for part, steps in zip(whole.actions, lengths, strict=False)]
    return Demonstrations(observations, actions, metadata={**whole.metadata, **said})


def changed(name: str, change: Any, **metadata: Any) -> Demonstrations:
    """Demonstrations that ship, with other observations."""
    whole = read(name)
    observations = [change(np.asarray(part)) for part in whole.observations]
    return Demonstrations(observations, whole.actions, metadata={**whole.metadata, **metadata})


@pytest.mark.parametrize(
    ("environment", "source", "options"),
    [
        (Pendulum, "pendulum", {"num_demonstrations": 3}),
        (lambda: GymnasiumEnvironment("Pendulum-v1"), "pendulum", {"num_demonstrations": 10}),
        (CartPole, "cartpole", {"absorbing": True}),
        (lambda: GymnasiumEnvironment("CartPole-v1", absorbing=True), "cartpole", {"absorbing": True}),
        (PointMassMaze, "maze", {}),
        (lambda: PointMassMaze(gap="right"), "maze", {}),
        (lambda: GridWorld(height=4, width=4, start=[0, 0]), "grid", {}),
        (
            lambda: LinearQuadratic(initial_mean=[1, 0], initial_covariance=[[0, 0], [0, 0]]),
            "linear_quadratic",
            {},
        ),
    ],
)
def test_what_ships_agrees(environment: Any, source: str, options: dict[str, Any]) -> None:
    assert lines(environment(), TrajectoryDataModule(source, **options)) == []


def test_starts_leave_no_trace() -> None:
    environment = GymnasiumEnvironment("Pendulum-v1")
    state, _ = environment.reset(2)
    before = torch.get_rng_state()
    found = environment.starts(5), environment.starts(5)
    assert torch.equal(*found)
    assert found[0].shape == (5, 3)
    assert torch.equal(torch.get_rng_state(), before)
    environment.step(state, torch.zeros(2, 1))  # goes on: the round is still there
    environment.close()


def test_starts_look_for_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = GymnasiumEnvironment("Pendulum-v1")
    monkeypatch.setattr("lightning_irl.environments.gymnasium.MOST_SECONDS", 0.0)
    assert environment.starts(5).shape == (1, 3)
    assert lines(environment, TrajectoryDataModule("pendulum")) == []  # one tells nothing


def test_normalised_observations_are_warned_of_with_both_ranges() -> None:
    every = np.concatenate(read("pendulum").observations)
    mean, std = every.mean(0), every.std(0)
    data = TrajectoryDataModule(changed("pendulum", lambda seen: (seen - mean) / std), num_demonstrations=10)
    [line] = lines(Pendulum(), data)
    assert "coordinate 1 is between -3.8" in line
    assert "the environment's between -1 and 1" in line
    assert "not normalised" in line


def test_an_environment_that_leaves_its_own_bounds_is_not_held_to_them() -> None:
    class Narrow(Pendulum):
        observation_low, observation_high = (-0.1, -0.1, -0.1), (0.1, 0.1, 0.1)

    assert lines(Narrow(), TrajectoryDataModule("pendulum")) == []


@pytest.mark.parametrize(
    ("initial", "words"),
    [
        ({"initial_mean": [5, 0], "initial_covariance": [[0, 0], [0, 0]]}, "demonstrations start where"),
        ({"initial_mean": [1, 0]}, "of 128 resets of environment LinearQuadratic start where"),
    ],
)
def test_other_starts_are_warned_of_from_both_sides(initial: dict[str, Any], words: str) -> None:
    [line] = lines(LinearQuadratic(**initial), TrajectoryDataModule("linear_quadratic"))
    assert words in line
    assert "coordinate" in line


def test_starts_that_are_drawn_alike_are_not_told_apart() -> None:
    torch.manual_seed(0)
    found = [
        outside(torch.randn(n, 20), torch.randn(128, 20), torch.ones(20)) for n in (1, 2, 3, 5, 20) for _ in range(100)
    ]
    assert not any(found)
    many = torch.eye(400)  # one of 400 places each, most never seen among the others
    draws = torch.randint(400, (2, 128))
    assert outside(many[draws[0][:3]], many[draws[1]], torch.full((400,), 0.05)) is None


def test_demonstrations_cut_short_are_refused_where_nothing_ends() -> None:
    lengths = [60, 80, 100, 120, 90, 70]
    data = TrajectoryDataModule(cut("pendulum", lengths), absorbing=True)
    with pytest.raises(UserError, match=r"6 of 6 demonstrations end before the horizon.*Pendulum ends no.*60 at most"):
        refuse(Pendulum(), list(data.splits))
    with pytest.raises(UserError, match="set absorbing=true on the environment too"):
        refuse(GymnasiumEnvironment("Pendulum-v1"), list(data.splits))
    refuse(Pendulum(), list(TrajectoryDataModule(cut("pendulum", [60] * 6, horizon=60), absorbing=True).splits))


def test_a_time_limit_taken_for_an_end_is_warned_of() -> None:
    data = TrajectoryDataModule(cut("cartpole", [200] * 9 + [150]), absorbing=True, horizon=500, num_demonstrations=8)
    [line] = lines(CartPole(), data)
    assert "8 of the 8" in line
    assert "exactly 200 steps" in line
    assert line.endswith("set the data's horizon to 200")
    trusted = Demonstrations(*(getattr(cut("cartpole", [200] * 10), part) for part in ("observations", "actions")))
    object.__setattr__(trusted, "terminal", [True] * 10)
    [line] = lines(CartPole(), TrajectoryDataModule(trusted, absorbing=True, trust_terminal=True))
    assert line.endswith("set the data's horizon to 200 and trust_terminal=false")


def test_ends_of_one_length_that_show_are_ends() -> None:
    """Each falls after as many steps, beyond any angle before it."""

    def fall(seen: np.ndarray) -> np.ndarray:
        seen = seen.copy()
        seen[-1, 2] = 0.25
        return seen

    whole = cut("cartpole", [60] * 10)
    ended = Demonstrations([fall(seen) for seen in whole.observations], whole.actions)
    assert lines(CartPole(), TrajectoryDataModule(ended, absorbing=True, horizon=100)) == []


@pytest.mark.parametrize(
    ("recorded_in", "words"),
    [
        ("Pendulum-v1", None),
        ("package:Pendulum-v1", None),
        ("Pendulum", None),
        ("Pendulum-v0", "another version"),
        ("Acrobot-v1", "another environment"),
    ],
)
def test_ids_are_compared(recorded_in: str, words: str | None) -> None:
    data = TrajectoryDataModule(changed("pendulum", np.copy, environment=recorded_in))
    for environment in (Pendulum(), GymnasiumEnvironment("Pendulum-v1")):
        found = lines(environment, data)
        if words is None:
            assert found == []
        else:
            [line] = found
            assert f"of {recorded_in}, the environment is Pendulum-v1: {words}" in line


class Images(gymnasium.Env):
    """Noise."""

    observation_space = spaces.Box(0, 255, (1, 4, 4), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def test_bounds_are_those_of_observations_as_served() -> None:
    environment = GymnasiumEnvironment(factory=lambda num: gymnasium.vector.SyncVectorEnv([Images] * num))
    assert (environment.observation_low, environment.observation_high) == ([0.0], [1.0])
    lake = GymnasiumEnvironment("FrozenLake-v1", absorbing=True)
    assert (lake.observation_low, lake.observation_high) == ((0.0,), (1.0,))
    cart = GymnasiumEnvironment("CartPole-v1", absorbing=True)
    assert cart.observation_low == pytest.approx(CartPole.observation_low, rel=1e-6)
    assert cart.gymnasium_id == "CartPole-v1"


def view(data: TrajectoryDataModule, environment: Environment, policy: Any) -> IRL:
    cost = partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[4]))
    return IRL(data.event, cost, lambda event: PolicySampler(event, environment, policy), warm_start=1, learner=PPO)


def test_a_view_compares_before_it_trains(tmp_path: Any) -> None:
    trainer = pl.Trainer(
        max_epochs=1, limit_train_batches=1, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    data = TrajectoryDataModule(cut("pendulum", [60, 80, 100, 120]), absorbing=True)
    with pytest.raises(UserError, match="ends no episode"):
        trainer.fit(view(data, Pendulum(), ClippedGaussianPolicy), data)
    data = TrajectoryDataModule(cut("cartpole", [9] * 6, horizon=20), absorbing=True)
    with pytest.warns(UserWarning, match="exactly 9 steps"):
        trainer.fit(view(data, CartPole(), CategoricalPolicy), data)


@pytest.mark.parametrize("spread", [2e-3, 1e-2])
def test_a_coordinate_that_demonstrations_hardly_move_is_held_against_its_range(spread):
    """The velocity of a pendulum that is all but locked: networks would see thousands once a policy moves it."""

    def locked(part):
        scaled = part[:, 2:] * (spread / max(part[:, 2].std(), 1e-12))
        return np.concatenate([part[:, :2], scaled], 1)

    data = TrajectoryDataModule(changed("pendulum", locked), action_low=[-2], action_high=[2])
    (line,) = [one for one in lines(Pendulum(), data) if "standard deviation" in one]
    assert "coordinate 2 of the observations" in line
    assert "a range of 16 in" in line
    assert "normalise=false" in line


def test_demonstrations_that_move_every_coordinate_are_of_no_doubt():
    data = TrajectoryDataModule(read("pendulum"), action_low=[-2], action_high=[2])
    assert not [one for one in lines(Pendulum(), data) if "standard deviation" in one]
