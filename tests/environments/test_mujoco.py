"""MuJoCo through the extra: gymnasium's own numbers, episodes that end, and a round of guided cost learning."""

from functools import partial

import gymnasium
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule
from lightning_irl.environments import GymnasiumEnvironment
from lightning_irl.environments.gymnasium import NO_LIMIT
from lightning_irl.learners import PPO
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.views import IRL

pytest.importorskip("mujoco")
HORIZON = 40


def sampler():
    environment = GymnasiumEnvironment("Hopper-v5", absorbing=True)
    shapes = {"action_shape": [3], "action_low": [-1.0] * 3, "action_high": [1.0] * 3}
    event = make_trajectory_event(HORIZON, [11], **shapes, absorbing=True)
    return PolicySampler(event, environment, ClippedGaussianPolicy)


def test_an_episode_is_gymnasiums():
    ours = sampler()
    torch.manual_seed(3)
    (seed,) = torch.randint(NO_LIMIT, (1,)).tolist()
    torch.manual_seed(3)
    trajectory, _, rewards = ours.rollout(1)
    lone = gymnasium.make("Hopper-v5")
    observation, _ = lone.reset(seed=seed)
    for step in range(int(trajectory.mask.sum())):
        np.testing.assert_allclose(trajectory.observations[0, step], observation, rtol=1e-6, atol=1e-6)
        observation, reward, ended, _, _ = lone.step(trajectory.actions[0, step].numpy())
        assert rewards[0, step] == pytest.approx(reward, rel=1e-5)
    assert ended == bool(trajectory.terminal[0])
    lone.close()


def test_a_round_of_guided_cost_learning():
    torch.manual_seed(0)
    whole, _, rewards = sampler().rollout(6)
    assert whole.terminal.any()  # a hopper that knows nothing falls within 40 steps
    lengths = whole.mask.sum(1).tolist()
    episodes = [
        [values[index, : length + more].numpy() for index, length in enumerate(lengths)]
        for values, more in ((whole.observations, 1), (whole.actions, 0), (rewards, 0))
    ]
    facts = {"horizon": HORIZON, "action_low": [-1.0] * 3, "action_high": [1.0] * 3}
    source = Demonstrations(*episodes, whole.terminal.tolist(), "hopper", facts)
    data = TrajectoryDataModule(source, absorbing=True, fractions=(0, 0), steps_per_epoch=2)
    environment = GymnasiumEnvironment("Hopper-v5", absorbing=True)
    view = IRL(
        data.event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=environment, policy=ClippedGaussianPolicy),
        learner=PPO,
        num_samples=4,
    )
    before = [parameter.detach().clone() for parameter in view.parameters()]
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    pl.Trainer(max_epochs=1, accelerator="cpu", limit_val_batches=0, **quiet).fit(view, data)
    assert view.batches == 2
    assert torch.isfinite(view.log_z)
    moved = [not torch.equal(old, new) for old, new in zip(before, view.parameters(), strict=True)]
    assert all(moved), [name for (name, _), change in zip(view.named_parameters(), moved, strict=True) if not change]
