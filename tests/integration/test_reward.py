"""What docs/reward.md shows is what runs: a learned reward and policy outside of the framework."""

import re
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.environments import CartPole
from lightning_irl.policies import CategoricalPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import IRL

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "reward.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What the page's blocks leave behind, run one after another with a checkpoint of irl/pendulum."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("reward"))
        small = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--model.init_args.num_samples=4"]
        reports = [
            "--partition.methods=[importance]",
            "--partition.num_samples=8",
            "--imitation.num_episodes=2",
            "--imitation.random_return=-1200",
        ]
        assert main(["fit", "--config", "irl/pendulum", "--trainer.accelerator=cpu", *small, *reports]) == 0
        (checkpoint,) = Path().rglob("*.ckpt")
        checkpoint.rename("pendulum.ckpt")
        found = {}
        for block in BLOCKS:
            exec(block, found)
    return found


def test_the_page_runs(shown):
    assert shown["rewards"].shape == (3, 200)
    assert -2000 < shown["true_return"] < 0
    assert shown["costs"].shape == (7,)
    observations, actions = shown["observations"], shown["actions"]
    expected = shown["cost"].step_cost(observations, actions, observations, torch.zeros(7, dtype=torch.long))
    torch.testing.assert_close(shown["costs"], expected)


def test_what_the_wrapper_pays_in_an_episode_is_minus_the_energy(shown):
    env, view = shown["paid"], shown["view"]
    observation, _ = env.reset(seed=1)
    observations, actions, paid, true, truncated = [observation], [], 0.0, 0.0, False
    while not truncated:
        action = env.action_space.sample() * 2  # often beyond its bounds
        observation, reward, _, truncated, info = env.step(action)
        observations, actions = [*observations, observation], [*actions, np.clip(action, -2, 2)]
        paid, true = paid + reward, true + info["true_reward"]
    trajectory = Trajectory(
        torch.tensor(np.array(observations))[None],
        torch.tensor(np.array(actions))[None],
        torch.ones(1, 200, dtype=torch.bool),
        torch.zeros(1, dtype=torch.bool),
        torch.zeros(1, dtype=torch.long),
    )
    assert paid == pytest.approx(-view.energy(trajectory).item(), rel=1e-4)
    assert true < 0


def test_an_episode_that_ends_early_is_paid_to_the_horizon(shown):
    event = make_trajectory_event(30, [4], num_actions=2, absorbing=True)
    view = IRL(
        event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[4])),
        partial(PolicySampler, environment=CartPole(), policy=partial(CategoricalPolicy, hidden=[4])),
        sampler_steps=0,
        temperature=0.5,
    )
    env = shown["LearnedReward"](gymnasium.make("CartPole-v1"), view)
    observation, _ = env.reset(seed=0)
    observations, paid, ended = np.zeros((1, 31, 4), np.float32), 0.0, False
    steps = 0
    observations[0, 0] = observation
    while not ended:  # always to the right
        observation, reward, ended, _, _ = env.step(1)
        steps, paid = steps + 1, paid + reward
        observations[0, steps:] = observation
    assert steps < 15
    trajectory = Trajectory(
        torch.tensor(observations),
        torch.ones(1, 30, dtype=torch.long),
        (torch.arange(30) < steps)[None],
        torch.ones(1, dtype=torch.bool),
        torch.zeros(1, dtype=torch.long),
    )
    assert paid == pytest.approx(-view.energy(trajectory).item(), rel=1e-4)
