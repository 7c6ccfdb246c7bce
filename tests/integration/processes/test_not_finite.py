"""What one process alone saw is not lost: all stop, and the error names the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

SCRIPT = """
import os, warnings
import pytorch_lightning as pl
import torch
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.samplers import FlowSampler
from lightning_irl.views import GAN

warnings.simplefilter("ignore")
torch.manual_seed(0)
data = ToyDataModule(name="two_moons", batch_size=16, steps_per_epoch=60)
view = GAN(data.event, MLPCost, FlowSampler)
draw = view.sampler.sample

def broken(number):
    samples, log_q = draw(number)
    return (samples * torch.nan if view.batches == 7 and os.environ["RANK"] == "1" else samples), log_q

view.sampler.sample = broken
pl.Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, logger=False, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, limit_val_batches=0,
).fit(view, data)
"""


def test_the_process_whose_draws_were_not_finite_is_named(environment, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text(SCRIPT)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*start, str(script)], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode
    assert done.stderr.count("NonFiniteError: draws was not finite at batch 7 of process 1") >= 1, done.stderr[-2000:]
