"""Steps in the environment are counted once each, over several processes and over a resume."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.long

HORIZON, DRAWS, BATCHES = 10, 6, 2
SCRIPT = f"""
from functools import partial
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl.spaces.batch import Batch
from lightning_irl.costs import MLPStepCost, TrajectoryCost
from lightning_irl.environments import Pendulum
from lightning_irl.spaces.event import make_trajectory_event
from lightning_irl.learners import PPO
from lightning_irl.policies import ClippedGaussianPolicy
from lightning_irl.samplers import PolicySampler
from lightning_irl.views import IRL

EVENT = make_trajectory_event({HORIZON}, [3], action_shape=[1], action_low=[-2], action_high=[2])


def fit(epochs, resume=None):
    view = IRL(
        EVENT,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[4])),
        partial(PolicySampler, environment=Pendulum(), policy=partial(ClippedGaussianPolicy, hidden=[4])),
        learner=partial(PPO, passes=1, minibatches=1, hidden=[4]),
        num_samples={DRAWS},
    )
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, log_every_n_steps=1,
    )
    loader = DataLoader([Batch(view.sampler.sample(4)[0], torch.zeros(4))] * {BATCHES}, batch_size=None)
    trainer.fit(view, loader, ckpt_path=resume, weights_only=True)
    path = f"after_{{epochs}}.ckpt"
    trainer.save_checkpoint(path)
    return path


path = fit(1)
path = fit(2, path)
fit(3, path)
"""


def test_a_resume_does_not_count_them_again_for_every_process(environment, tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "run.py"]
    done = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    counted = [torch.load(tmp_path / f"after_{n}.ckpt", weights_only=True)["environment_steps"] for n in (1, 2, 3)]
    assert [int(steps) for steps in counted] == [n * BATCHES * DRAWS * HORIZON for n in (1, 2, 3)]
