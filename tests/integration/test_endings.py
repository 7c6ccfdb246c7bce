"""How a fit ends: its report and its checkpoint are of the same weights, and neither is missing."""

import json
import math
from pathlib import Path

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN
from lightning_irl.views.view import read_checkpoint

SMALL = {"train_size": 256, "val_size": 96, "test_size": 48, "batch_size": 32, "steps_per_epoch": 8}
ARGUMENTS = [
    "--model=GAN",
    "--model.cost=MLPCost",
    "--model.cost.hidden=[8]",
    "--model.sampler=GaussianSampler",
    "--data=ToyDataModule",
    *(f"--data.{key}={value}" for key, value in SMALL.items()),
    "--partition.methods=[importance]",
    "--partition.num_samples=512",
    "--samples.every_n_epochs=0",
    "--trainer.enable_progress_bar=false",
    "--trainer.accelerator=cpu",
]
KEEPS = ["--trainer.callbacks+=ModelCheckpoint"]


def fit(folder, monkeypatch, *options):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["lightning-irl"])
    assert main(["fit", *ARGUMENTS, *options]) == 0
    checkpoints = sorted(Path().rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    report = json.loads(next(Path().rglob("partition_val.json")).read_text())
    return read_checkpoint(str(checkpoints[-1])), report


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "batches"),
    [
        (["--trainer.max_epochs=3", "--trainer.check_val_every_n_epoch=2"], 24),
        (["--trainer.max_epochs=1", "--trainer.check_val_every_n_epoch=10"], 8),
        (["--trainer.max_epochs=2", "--trainer.val_check_interval=3"], 16),
        (["--trainer.max_epochs=2", "--trainer.limit_val_batches=0"], 16),
        (["--trainer.max_epochs=4", "--trainer.max_steps=20"], 10),
        (["--trainer.max_epochs=2"], 16),
        (["--trainer.max_epochs=2", *KEEPS, "--trainer.callbacks.train_time_interval=00:01:00:00"], 16),
    ],
)
def test_report_and_checkpoint_are_of_the_last_weights(tmp_path, monkeypatch, options, batches):
    checkpoint, report = fit(tmp_path, monkeypatch, *options)
    assert checkpoint["batches"] == batches
    data = ToyDataModule(**SMALL)
    view = GAN(data.event, lambda event: MLPCost(event, hidden=[8]), GaussianSampler)
    view.load_state_dict(checkpoint["state_dict"])
    with torch.no_grad():
        cost = float(view.energy(data.splits.val).mean())
        nll_sampler = -float(view.sampler.log_prob(data.splits.val).mean())
    (importance,) = report["estimates"]
    assert report["results"]["val/nll_sampler"] == pytest.approx(nll_sampler, abs=1e-5)
    if importance["reliable"]:
        assert report["results"]["val/nll_model"] == pytest.approx(cost + importance["log_z"], abs=1e-5)
    # log Z too is of these weights: within five errors of another estimate, by as many draws
    torch.manual_seed(1)
    samples, log_q = view.sampler.sample(20_000)
    with torch.no_grad():
        again = float((-view.energy(samples) - log_q).logsumexp(0)) - math.log(20_000)
    assert abs(again - importance["log_z"]) < 5 * importance["stderr"] + 1e-3


@pytest.mark.long
def test_a_checkpoint_at_the_end_of_an_epoch_with_rare_validation_goes_on_bit_for_bit(tmp_path, monkeypatch):
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    rare = ["--trainer.check_val_every_n_epoch=2"]
    whole, _ = fit(tmp_path / "whole", monkeypatch, *rare, "--trainer.max_epochs=4")
    fit(tmp_path / "parts", monkeypatch, *rare, "--trainer.max_epochs=3")
    (first,) = Path().rglob("*.ckpt")
    assert main(["fit", *ARGUMENTS, *rare, "--trainer.max_epochs=4", f"--ckpt_path={first}"]) == 0
    newest = max(Path().rglob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    parts = read_checkpoint(str(newest))
    assert parts["batches"] == whole["batches"] == 32
    assert all(torch.equal(value, parts["state_dict"][key]) for key, value in whole["state_dict"].items())


def test_from_weights_alone_a_pair_can_start_but_no_run_goes_on(tmp_path, monkeypatch, capsys):
    fit(tmp_path, monkeypatch, "--trainer.max_epochs=1", *KEEPS, "--trainer.callbacks.save_weights_only=true")
    (path,) = Path().rglob("*.ckpt")
    assert main(["fit", *ARGUMENTS, "--trainer.max_epochs=2", f"--ckpt_path={path}"]) == 2
    assert "--init_from" in capsys.readouterr().err
