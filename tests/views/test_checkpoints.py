"""Every fit ends with a checkpoint of its last weights or says why not, and one from within an epoch goes on bit for
bit.
"""

import re
from datetime import timedelta

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from lightning_irl.callbacks import WeightAverage
from lightning_irl.command import runs
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.errors import UserError
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN
from lightning_irl.views.view import read_checkpoint

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
EPOCH = 5


def fit(folder, resume=None, workers=0, view_options=None, **options):
    pl.seed_everything(1 if resume else 0, verbose=False)
    data = ToyDataModule(train_size=256, val_size=32, test_size=32, batch_size=32, steps_per_epoch=EPOCH)
    data.num_workers = workers
    view = GAN(data.event, lambda event: MLPCost(event, hidden=[4]), GaussianSampler, **(view_options or {}))
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 2, "default_root_dir": folder, **options})
    trainer.fit(view, data, ckpt_path=resume, weights_only=True)
    return view


def saved(folder):
    """Checkpoints by the batches that they were trained for."""
    return {read_checkpoint(str(path))["batches"]: path for path in folder.rglob("*.ckpt")}


@pytest.mark.parametrize(
    "options",
    [
        {"callbacks": [ModelCheckpoint(train_time_interval=timedelta(hours=1))]},
        {"callbacks": [ModelCheckpoint(every_n_train_steps=100)]},
        {"callbacks": [ModelCheckpoint(every_n_epochs=7)]},
        {"callbacks": [ModelCheckpoint(monitor="val/nll_sampler")], "limit_val_batches": 0},
        {"callbacks": [ModelCheckpoint(monitor="val/nll_sampler", save_last=True)]},
        {"check_val_every_n_epoch": 10},
        {"val_check_interval": 2},
        {"max_steps": 14},
    ],
)
def test_the_last_weights_are_saved(tmp_path, options):
    view = fit(tmp_path, **options)
    assert max(saved(tmp_path)) == view.batches


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"callbacks": [ModelCheckpoint(save_top_k=0)]}, "save_top_k of ModelCheckpoint is 0"),
        (
            {"callbacks": [ModelCheckpoint(monitor="val/cost", mode="min")]},
            r"the best by val/cost, which is \S+\.ckpt; ",
        ),
        ({"enable_checkpointing": False}, "enable_checkpointing is false"),
        ({"limit_train_batches": 0}, "Nothing was trained"),
    ],
)
def test_or_one_line_says_why_not(tmp_path, caplog, options, said):
    caplog.set_level("INFO")
    view = fit(tmp_path, **options)
    assert view.batches not in saved(tmp_path)
    assert re.search(said, caplog.text)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"every_n_train_steps": 3}, [3, 6, 9, 10]), ({"train_time_interval": timedelta(0)}, list(range(1, 11)))],
)
def test_batches_are_counted_and_time_is_kept(tmp_path, options, expected):
    fit(tmp_path, callbacks=[ModelCheckpoint(save_top_k=-1, **options)], view_options={"cost_steps": 2})
    assert sorted(saved(tmp_path)) == expected


def test_a_metric_of_validation_is_waited_for(tmp_path):
    keep = ModelCheckpoint(monitor="val/cost", save_top_k=-1, every_n_train_steps=EPOCH)
    fit(tmp_path, callbacks=[keep])
    assert sorted(saved(tmp_path)) == [5, 10]
    assert all(torch.isfinite(score) for score in keep.best_k_models.values())


@pytest.mark.long
@pytest.mark.parametrize(
    ("stop", "go", "view_options"),
    [
        ({}, {}, {}),
        ({}, {}, {"accumulate": 3}),
        ({}, {"val_check_interval": 2, "limit_train_batches": 4}, {"accumulate": 3}),
        ({"max_steps": 14}, {}, {}),
        ({}, {"workers": 1}, {}),
    ],
)
def test_within_an_epoch_a_run_goes_on_bit_for_bit(tmp_path, stop, go, view_options):
    def callbacks():
        return [WeightAverage(decay=0.5, update_every_n_steps=2)]

    whole = fit(tmp_path / "whole", view_options=view_options, callbacks=callbacks(), **go)
    each = [] if stop else [ModelCheckpoint(save_top_k=-1, every_n_train_steps=1, filename="{val/cost}-{step}")]
    fit(tmp_path / "parts", view_options=view_options, callbacks=[*callbacks(), *each], **{**go, **stop})
    kept = saved(tmp_path / "parts")
    assert sorted(kept)[-1] == (7 if stop else whole.batches)
    for batches in {2, 5, 7, 8} & set(kept):
        parts = fit(tmp_path / "rest", kept[batches], view_options=view_options, callbacks=callbacks(), **go)
        assert parts.batches == whole.batches
        for name, value in whole.state_dict().items():
            assert torch.equal(value, parts.state_dict()[name]), (batches, name)


def test_validation_keeps_gradients_that_no_step_has_used(tmp_path):
    rare = fit(tmp_path / "rare", limit_val_batches=0, view_options={"accumulate": 3})
    often = fit(tmp_path / "often", val_check_interval=1, view_options={"accumulate": 3})
    for name, value in rare.cost.state_dict().items():
        assert torch.equal(value, often.cost.state_dict()[name]), name


@pytest.mark.parametrize("callback", [OnExceptionCheckpoint("."), ModelCheckpoint(save_on_exception=True)])
def test_nothing_is_saved_within_a_step(tmp_path, monkeypatch, callback):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="within a step"):
        fit(tmp_path, callbacks=[callback])


def test_counters_come_back_from_processes_that_lightning_started(tmp_path):
    trained = fit(tmp_path)
    trained.resume.hands_back = True  # what a launched process does at the end of its fit
    state = trained.state_dict()
    asked = GAN(trained.event, lambda event: MLPCost(event, hidden=[4]), GaussianSampler)
    asked.load_state_dict(state)
    assert asked.batches == 10
    assert asked.evaluated_at == {"val": 10}
    assert set(asked.state_dict()) < set(state)


def test_a_slash_in_a_checkpoints_name_hides_nothing(tmp_path):
    keep = ModelCheckpoint(tmp_path / "run" / "checkpoints", filename="{epoch}-{val/cost:.2f}")
    fit(tmp_path, callbacks=[keep])
    path = runs.last_checkpoint(tmp_path)
    assert str(path) == keep.best_model_path
    assert path.parent.name == "epoch=1-val"
    assert runs.folder_of(path) == tmp_path / "run"
    (tmp_path / "run" / "checkpoints" / "last.ckpt").symlink_to("gone.ckpt")
    assert runs.last_checkpoint(tmp_path) == path
