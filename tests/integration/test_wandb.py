"""A W&B run that two processes made offline, read back from its files; and the same run going on from a checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest

from lightning_irl.callbacks import WandbLogger

pytest.importorskip("wandb")

CONFIG = """
model:
  class_path: GAN
  init_args:
    cost: {class_path: MLPCost, init_args: {hidden: [8]}}
    sampler: {class_path: FlowSampler, init_args: {transforms: 1, hidden: [8]}}
data: {class_path: ToyDataModule, init_args: {name: two_moons, batch_size: 16, steps_per_epoch: 6}}
partition: {num_samples: 64, num_chains: 8, num_temperatures: 5}
equivalence: {every_n_batches: 3}
trainer: {accelerator: cpu, max_epochs: 2, enable_progress_bar: false, log_every_n_steps: 2}
"""
KEYS = {
    *(f"{kind}/{name}" for kind, name in [("loss", "cost"), ("loss", "sampler")]),
    *(f"gradient/{name}_norm" for name in ("cost", "sampler")),
    *(f"equivalence/{name}" for name in ("log_z_gap", "gradient_cosine", "gradient_distance", "generator_loss_gap")),
    *(
        f"partition/{kind}_{method}"
        for kind in ("log_z", "reliable")
        for method in ("importance", "annealed", "annealed_broad", "bridge", "quadrature", "discriminator", "mixture")
    ),
    *("partition/log_z_training", "partition/ess", "partition/k_hat"),
    *("val/cost", "val/log_det", "val/nll_sampler", "kl/model", "kl/sampler"),
}


def train(*arguments):
    start = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "lightning_irl",
    ]
    overlays = ["--config", "config.yaml", "--config", "trainer/torchrun", "--config", "logger/wandb"]
    kept = {name: value for name, value in os.environ.items() if "WANDB" not in name}  # not what other tests left
    environment = kept | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run(
        [*start, "fit", *overlays, *arguments], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def records(folder):
    """The records of the one run in a folder."""
    (path,) = Path(folder).glob("wandb/offline-run-*/run-*.wandb")
    read = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(read, capture_output=True, text=True, check=True, timeout=100).stdout.splitlines()
    return path.parent, [json.loads(line) for line in lines if line.strip()]


@pytest.mark.long
def test_a_run_of_two_processes_is_one_run_that_can_be_read_back_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    train("--trainer.default_root_dir", "first", "--trainer.logger.init_args.tags", "[tiny]")
    folder, found = records("first")
    rows = [record["history"]["item"] for record in found if record["type"] == "history"]
    logged = {key for row in rows for key in row}
    assert logged >= KEYS, KEYS - logged
    assert all(row["batch"] <= 12 for row in rows)
    assert sorted({row["batch"] for row in rows if "equivalence/log_z_gap" in row}) == [3, 6, 9, 12]
    (run,) = [record["run"] for record in found if record["type"] == "run"]
    assert run["project"] == "lightning-irl"
    assert run["tags"] == ["tiny"]
    config = {}
    for record in found:
        config |= record.get("config", {}).get("update", {})
    assert config["config"]["model"]["class_path"].endswith("GAN")
    assert config["config"]["data"]["init_args"]["name"] == "two_moons"
    assert {"torch", "pytorch-lightning", "lightning-irl", "python"} <= config["versions"].keys()
    axes = [record["metric"] for record in found if record["type"] == "metric"]
    assert {axis.get("step_metric") for axis in axes if axis.get("glob_name") == "*"} >= {"batch"}
    (best,) = [axis for axis in axes if axis.get("name") == "val/nll_model"]
    assert best["summary"]["min"]
    images = list(folder.glob("files/media/images/samples/*.png"))
    assert len(images) == 2
    assert all(matplotlib.image.imread(image).ndim == 3 for image in images)
    (history,) = folder.glob("files/media/images/partition/*.png")
    assert matplotlib.image.imread(history).ndim == 3
    assert {axis.get("step_metric") for axis in axes if axis.get("glob_name") == "imitation/*"} >= {"environment_steps"}
    tables = [json.loads(path.read_text()) for path in folder.glob("files/media/table/samples/*.json")]
    assert [table["columns"] for table in tables] == [["cost", "log_q", "logit", "x0", "x1"]] * 2
    assert all(len(table["data"]) == 64 for table in tables)

    (checkpoint,) = Path("first/checkpoints").glob("*.ckpt")
    train("--trainer.default_root_dir", "second", "--ckpt_path", str(checkpoint), "--trainer.max_epochs", "3")
    _, later = records("second")
    (again,) = [record["run"] for record in later if record["type"] == "run"]
    assert again["run_id"] == run["run_id"]
    assert min(record["history"]["item"]["batch"] for record in later if record["type"] == "history") >= 12


def test_two_fits_of_one_process_are_two_runs(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    first = WandbLogger(save_dir=str(tmp_path)).experiment
    second = WandbLogger(save_dir=str(tmp_path)).experiment
    assert first.id != second.id
    second.finish()
    mine = wandb.init(dir=tmp_path, mode="offline")  # a user's own run, as in a sweep, is the one that is logged to
    assert WandbLogger(save_dir=str(tmp_path)).experiment.id == mine.id
    mine.finish()
