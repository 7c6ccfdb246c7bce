"""A config keeps the best by a report's number, and stops by another, in one process and in two."""

import csv
import subprocess
import sys

import pytest

from lightning_irl.command.cli import main
from lightning_irl.views.view import read_checkpoint

# The cost climbs its loss, so that the model is better before than after.
CONFIG = """
threads: 1
model:
  class_path: EBM
  init_args:
    cost: {class_path: MLPCost, init_args: {hidden: [4]}}
    sampler: GaussianSampler
    cost_optimizer: {class_path: torch.optim.Adam, init_args: {lr: 0.01, maximize: true}}
data:
  class_path: ToyDataModule
  init_args: {name: eight_gaussians, train_size: 64, val_size: 64, batch_size: 64, steps_per_epoch: 2}
partition: {methods: [importance], num_samples: 1024}
samples: {every_n_epochs: 0}
trainer:
  max_epochs: 4
  enable_progress_bar: false
  callbacks:
    - {class_path: EarlyStopping, init_args: {monitor: kl/model, patience: 1}}
    - {class_path: ModelCheckpoint, init_args: {monitor: val/nll_model, mode: min}}
"""


def read(folder):
    """Values of the model's likelihood by epoch, and the epoch that was kept."""
    (metrics,) = folder.rglob("metrics.csv")
    with metrics.open() as file:
        values = [float(row["val/nll_model"]) for row in csv.DictReader(file) if row["val/nll_model"]]
    (path,) = folder.rglob("*.ckpt")
    return values, read_checkpoint(str(path))["epoch"]


@pytest.mark.long
def test_the_best_is_kept_and_a_run_stops(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert main(["fit", "--config", "config.yaml", "--trainer.accelerator=cpu"]) == 0
    values, kept = read(tmp_path)
    assert len(values) < 4
    assert kept == min(range(len(values)), key=values.__getitem__)


@pytest.mark.long
def test_all_processes_stop_together(tmp_path, environment):
    (tmp_path / "config.yaml").write_text(CONFIG)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    start += ["lightning_irl", "fit", "--config", "config.yaml", "--config", "trainer/torchrun"]
    done = subprocess.run(start, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    values, kept = read(tmp_path)
    assert len(values) < 4
    assert kept == min(range(len(values)), key=values.__getitem__)
