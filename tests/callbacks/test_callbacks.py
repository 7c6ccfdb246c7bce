"""What callbacks leave behind: files, numbers, and a run that is the same as without them."""

import csv
import json
import re
from pathlib import Path

import matplotlib.image
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from lightning_irl.callbacks import LogEquivalence, LogPartition, LogSamples, Summary, WandbLogger
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import DigitsDataModule, ToyDataModule
from lightning_irl.samplers import BroadSampler, GaussianMixtureSampler, GeneratorSampler
from lightning_irl.views import EBM, GAN

DOCUMENTED = (Path(__file__).parent.parent.parent / "docs" / "keys.md").read_text()


def run(folder, view=GAN, sampler=GaussianMixtureSampler, loggers=(), data=None, callbacks=None, **options):
    data = data or ToyDataModule(train_size=256, val_size=128, test_size=64, batch_size=64)
    pl.seed_everything(0)
    model = view(data.event, MLPCost, sampler, **options)
    if callbacks is None:
        partition = LogPartition(num_samples=256, num_chains=64, num_temperatures=20)
        callbacks = [LogEquivalence(2), partition, LogSamples(every_n_epochs=1, pool=64, moves=2), Summary()]
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        default_root_dir=folder,
        log_every_n_steps=1,
        logger=[CSVLogger(folder, name="", version=""), *loggers],
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    return model, trainer, data


def test_an_epochs_first_batch_is_logged_like_the_others(tmp_path):
    run(tmp_path, callbacks=[])
    with (tmp_path / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["gradient/cost_norm"]]
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 9)]
    for key in ("loss/cost", "loss/sampler", "gradient/sampler_norm", "partition/log_z_training"):
        assert all(row[key] for row in rows), key


@pytest.mark.long
def test_one_moment_is_one_place_on_the_axis_and_logged_once(tmp_path):
    _, trainer, data = run(tmp_path, callbacks=[LogPartition(num_samples=64, methods=["importance"], every_n_epochs=1)])
    trainer.test(verbose=False, datamodule=data, model=trainer.lightning_module)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for key in ("val/cost", "val/nll_sampler", "partition/log_z_importance", "partition/stderr_importance"):
        assert [row["step"] for row in rows if row[key] and not row["test/nll_sampler"]][:2] == ["4", "8"], key
        assert len([row for row in rows if row[key]]) == 2 + key.startswith("partition"), key  # and the test's
    for key in ("test/cost", "test/nll_sampler"):
        assert [row["step"] for row in rows if row[key]] == ["8"], key


def logged(folder):
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows if row[key]] for key in rows[0]}


@pytest.mark.long
@pytest.mark.parametrize("view", [GAN, EBM])
def test_points_leave_figures_estimates_and_documented_keys(tmp_path, view, capsys):
    _, trainer, data = run(tmp_path, view)
    figures = sorted(tmp_path.glob("figures/samples/plane/*.png"))
    assert [figure.stem for figure in figures] == ["0000004", "0000008"]
    assert matplotlib.image.imread(figures[-1]).std() > 0.05
    (history,) = (tmp_path / "figures" / "partition" / "history").glob("*.png")
    assert matplotlib.image.imread(history).std() > 0.05
    report = json.loads((tmp_path / "partition_val.json").read_text())
    methods = [estimate["method"] for estimate in report["estimates"]]
    assert {"quadrature", "annealed", "annealed_broad", "bridge", "importance", "discriminator", "mixture"} == set(
        methods
    )
    best = next(estimate for estimate in report["estimates"] if estimate["method"] == "quadrature")
    values = logged(tmp_path)
    assert values["val/nll_model"][-1] == pytest.approx(values["val/cost"][-1] + best["log_z"], abs=1e-4)
    for key in set(values) - {"step", "epoch"}:
        name = key.replace("val/", "STAGE/")
        for method in methods:
            name = re.sub(rf"_{method}$", "_METHOD", name)
        assert f"`{name}`" in DOCUMENTED, f"{key} is not in docs/keys.md"
    assert str(tmp_path.name) in capsys.readouterr().out.replace("\n", "")
    trainer.test(verbose=False, datamodule=data, model=trainer.lightning_module)
    assert (tmp_path / "partition_test.json").is_file()


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (20, 1), (21, 2), (None, 1), (-1, 1)])
def test_log_z_is_estimated_at_most_twenty_times_on_the_way(epochs, every):
    assert LogPartition().every(epochs) == every
    assert LogPartition(every_n_epochs=3).every(epochs) == 3
    assert LogPartition(every_n_epochs=0).every(epochs) == 0


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (2, 1), (21, 11), (None, 1), (-1, 1)])
def test_samples_are_drawn_in_the_middle_or_each_epoch_of_a_run_without_end(epochs, every):
    assert LogSamples().every(epochs) == every
    assert LogSamples(every_n_epochs=0).every(epochs) == 0


@pytest.mark.long
def test_the_paper_holds_while_training(tmp_path):
    run(tmp_path)
    values = logged(tmp_path)
    assert max(map(abs, values["equivalence/generator_loss_gap"])) < 1e-4
    assert min(values["equivalence/gradient_cosine"]) <= 1 + 1e-6


@pytest.mark.long
def test_images_leave_a_grid_and_bits(tmp_path):
    callbacks = [
        LogPartition(num_samples=128, methods=["importance"]),
        LogSamples(every_n_epochs=0, pool=64, moves=2),
        Summary(),
    ]
    run(tmp_path, data=DigitsDataModule(batch_size=64, steps_per_epoch=1), callbacks=callbacks)
    assert len(list(tmp_path.glob("figures/samples/grid/*.png"))) == 1
    report = json.loads((tmp_path / "partition_val.json").read_text())
    assert report["results"]["val/bits_per_dim_sampler"] > 0


def test_silent_without_a_density(tmp_path):
    run(tmp_path, sampler=GeneratorSampler, discriminator="plain")
    assert not (tmp_path / "partition_val.json").exists()
    assert not any(key.startswith(("equivalence", "partition/log_z_importance")) for key in logged(tmp_path))


@pytest.mark.long
def test_departures_are_said(tmp_path, capsys):
    run(tmp_path, sampler=BroadSampler, sampler_steps=0)
    said = " ".join(capsys.readouterr().out.split())
    assert "noise-contrastive" in said


@pytest.mark.long
def test_looking_does_not_change_what_is_trained(tmp_path):
    looked, _, _ = run(tmp_path / "looked")
    unseen, _, _ = run(tmp_path / "unseen", callbacks=[])
    for name, value in unseen.state_dict().items():
        assert torch.equal(value, looked.state_dict()[name]), name


@pytest.mark.long
def test_tensorboard_gets_the_images(tmp_path):
    pytest.importorskip("tensorboard")
    run(tmp_path, loggers=[TensorBoardLogger(tmp_path, name="", version="")])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0})
    events.Reload()
    assert "samples/plane" in events.Tags()["images"]
    assert "partition/log_z_bridge" in events.Tags()["scalars"]


@pytest.mark.long
def test_wandb_goes_offline_by_itself(tmp_path, monkeypatch, capfd):
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(tmp_path, loggers=[WandbLogger(save_dir=str(tmp_path))])
    wandb.finish()
    images = list(tmp_path.glob("wandb/offline-run-*/files/media/images/samples/*.png"))
    assert images
    assert all(matplotlib.image.imread(image).ndim == 3 for image in images)
