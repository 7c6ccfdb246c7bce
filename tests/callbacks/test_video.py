"""Videos show the episodes that were rolled out, step by step, and stand still where one is over."""

import itertools

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from lightning_irl.callbacks import LogVideo, WandbLogger
from lightning_irl.callbacks.video import frames_of
from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.datamodules import TrajectoryDataModule
from lightning_irl.environments import CartPole, Pendulum, PointMassMaze
from lightning_irl.learners import PPO
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import IRL


def episodes(observations, lengths):
    """Trajectories of observations (B, T + 1, obs) that end after so many steps."""
    mask = torch.arange(observations.shape[1] - 1) < torch.tensor(lengths)[:, None]
    nothing = torch.zeros(len(mask), dtype=torch.long)
    return Trajectory(observations, torch.zeros(*mask.shape, 1), mask, nothing.bool(), nothing)


def test_a_frame_for_each_step_until_the_longest_episode_ends():
    observations = torch.zeros(2, 31, 4)
    observations[:, :, 0] = torch.linspace(-1, 1, 31)
    frames = [np.asarray(frame) for frame in frames_of(CartPole(), [episodes(observations, [20, 8])], 100)]
    assert len(frames) == 21
    left, right = (np.stack([half[:, side] for half in frames]) for side in (slice(0, 120), slice(120, 240)))
    assert all((a != b).any() for a, b in itertools.pairwise(left))
    assert (right[8:] == right[8]).all()
    assert len(frames_of(CartPole(), [episodes(observations, [20, 8])], 10)) == 7


def test_an_environment_without_scenes_has_no_video():
    assert frames_of(PointMassMaze(), [episodes(torch.zeros(1, 4, 4), [3])], 10) == []


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="num_frames 0"):
        LogVideo(num_frames=0)


@pytest.mark.long
def test_fit_leaves_a_video_also_in_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    pl.seed_everything(0)
    data = TrajectoryDataModule("pendulum", num_demonstrations=6, steps_per_epoch=1)
    view = IRL(
        data.event,
        lambda event: TrajectoryCost(event, MLPStepCost),
        lambda event: PolicySampler(event, Pendulum(), ClippedGaussianPolicy),
        learner=PPO,
        num_samples=4,
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=tmp_path,
        logger=WandbLogger(save_dir=str(tmp_path)),
        callbacks=[LogVideo(num_episodes=2, num_frames=20)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(view, data)
    trainer.logger.experiment.finish()
    (path,) = tmp_path.glob("**/figures/samples/video/*.gif")
    with Image.open(path) as video:
        assert video.n_frames == 20 - 1  # every eleventh of 201
        assert video.size == (240, 120)
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/videos/samples/*.gif"))
