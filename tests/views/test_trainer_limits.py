"""What Lightning cannot do with a view is refused by name before training, from Python; what it counts is said, or
counts batches.
"""

import csv
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    StochasticWeightAveraging,
    ThroughputMonitor,
    Timer,
    TQDMProgressBar,
)
from pytorch_lightning.callbacks.spike import SpikeDetection
from pytorch_lightning.loggers import CSVLogger
from torch.optim import LBFGS
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from lightning_irl.callbacks import LogPartition, WeightAverage
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.errors import UserError
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN, trainer_limits

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}


def data():
    return ToyDataModule(train_size=256, val_size=32, test_size=32, batch_size=32, steps_per_epoch=6)


def view(served, **options):
    torch.manual_seed(0)
    return GAN(served.event, lambda event: MLPCost(event, hidden=[4]), GaussianSampler, **options)


def fit(folder, view_options=None, **options):
    served = data()
    model = view(served, **(view_options or {}))
    trainer = pl.Trainer(**{**QUIET, "max_epochs": 1, "default_root_dir": folder, **options})
    trainer.fit(model, served)
    return model, trainer


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"callbacks": [GradientAccumulationScheduler({0: 2})]}, "model.accumulate"),
        ({"callbacks": [LearningRateFinder()]}, "LearningRateFinder"),
        ({"callbacks": [SpikeDetection()]}, "SpikeDetection needs the loss"),
        ({"callbacks": [BatchSizeFinder()]}, "data.batch_size"),
        ({"callbacks": [StochasticWeightAveraging(0.1)]}, "WeightAverage"),
        ({"callbacks": [EMAWeightAveraging(update_every_n_steps=2)]}, "WeightAverage"),
        ({"callbacks": [EarlyStopping("val/nll_model")]}, "callback LogPartition makes it.*val/nll_sampler"),
        ({"callbacks": [ModelCheckpoint(monitor="partition/log_z_bridge")]}, "allowed: with validation val/cost"),
        ({"callbacks": [EarlyStopping("val/nll_samplr")]}, "val/nll_samplr, which was not logged.*val/nll_sampler"),
        (
            {"callbacks": [EarlyStopping("val/nl_sampler")], "val_check_interval": 3},
            "val/nl_sampler, which was not logged.*val/nll_sampler",
        ),
        ({"precision": "bf16-true"}, "bf16-true"),
        ({"precision": "16-true"}, "16-true"),
        ({"gradient_clip_algorithm": "value"}, "gradient_clip_algorithm is value.*model.clip_norm"),
        ({"val_check_interval": 7}, "val_check_interval is 7 batches, an epoch has 6"),
    ],
)
def test_refused_by_name(tmp_path, options, said):
    with pytest.raises((UserError, pl.utilities.exceptions.MisconfigurationException), match=said):
        fit(tmp_path, **options)


def test_16_mixed_is_refused_by_name_wherever_lightning_takes_it():
    """On CPUs it does not, so the trainer is made up."""
    trainer = SimpleNamespace(precision="16-mixed", callbacks=[], val_check_interval=1.0)
    with pytest.raises(UserError, match=r"16-mixed.*32-true, 64-true, bf16-mixed"):
        trainer_limits.check_trainer(trainer, (1, 1), None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cost_optimizer": LBFGS}, "cost_optimizer is LBFGS"),
        ({"sampler_scheduler": ReduceLROnPlateau}, "sampler_scheduler is ReduceLROnPlateau"),
        ({"cost_scheduler": lambda one: OneCycleLR(one, 0.1, total_steps=5)}, "total_steps 5.* 6 times"),
    ],
)
def test_refused_descents(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        fit(tmp_path, options)


def test_a_schedule_of_exactly_the_runs_length(tmp_path):
    fit(tmp_path, {"cost_scheduler": lambda one: OneCycleLR(one, 0.1, total_steps=6)})


def test_fast_dev_run_counts_batches_and_validates(tmp_path):
    model, _ = fit(tmp_path, fast_dev_run=3)
    assert model.batches == 3
    assert model.evaluated_at == {"val": 3}


def test_what_counts_by_itself_counts_batches(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    watch = [
        LearningRateMonitor("step"),
        ThroughputMonitor(lambda batch: len(batch.samples), window_size=4),
        Timer("00:01:00:00"),
    ]
    fit(tmp_path, callbacks=[*watch, TQDMProgressBar()], logger=logger, log_every_n_steps=1, enable_progress_bar=True)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for key in ("lr-cost", "lr-sampler", "train/device/batches_per_sec", "loss/cost"):
        steps = [int(row["step"]) for row in rows if row.get(key)]
        assert set(steps) <= set(range(1, 7)), key
        assert steps[-1] == 6, key
    for row in rows:
        if row.get("train/samples"):
            assert float(row["train/samples"]) == 32 * int(row["step"])


def test_max_steps_says_what_it_counts(tmp_path, caplog):
    caplog.set_level("INFO")
    model, _ = fit(tmp_path, max_steps=4)
    assert model.batches == 2
    assert "counts the steps of every optimizer" in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("report_first", [True, False])
def test_a_weight_average_counts_batches_and_is_what_the_report_is_about(tmp_path, report_first):
    average, report = (
        WeightAverage(decay=0.5, update_every_n_steps=2),
        LogPartition(methods=["importance"], num_samples=64),
    )
    callbacks = [report, average] if report_first else [average, report]
    model, trainer = fit(tmp_path / "averaged", callbacks=callbacks)
    assert int(average._average_model.n_averaged) == 3
    with torch.no_grad():
        expected = -float(model.sampler.log_prob(trainer.datamodule.splits.val).mean())
    assert report.results["val/nll_sampler"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("average", [WeightAverage, EMAWeightAveraging])
def test_an_average_that_was_never_updated_is_not_used(tmp_path, average):
    plain, _ = fit(tmp_path / "plain")
    with pytest.warns(UserWarning, match=f"{average.__name__} was never updated"):
        model, _ = fit(tmp_path / "averaged", callbacks=[average(update_starting_at_step=100)])
    for mine, trained in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, trained)


class Looks(Callback):
    """Keeps the weights that a report after validation sees."""

    def on_validation_epoch_end(self, trainer, pl_module):
        self.seen = [parameter.detach().clone() for parameter in pl_module.parameters()]


@pytest.mark.parametrize("average", [WeightAverage, EMAWeightAveraging])
def test_a_report_after_validation_sees_the_average_and_training_goes_on_without_it(tmp_path, average):
    plain, _ = fit(tmp_path / "plain", max_epochs=2)
    looks, averaging = Looks(), average(decay=0.5)
    trained = []
    model, _ = fit(tmp_path / "averaged", max_epochs=2, callbacks=[looks, averaging, Last(trained)])
    for mine, seen in zip(model.parameters(), looks.seen, strict=True):
        assert torch.equal(mine, seen)  # the end's is that of the last validation
    assert all(torch.equal(mine, same) for mine, same in zip(trained[-1], plain.parameters(), strict=True))


class Last(Callback):
    """Keeps what each batch trained."""

    def __init__(self, kept):
        self.kept = kept

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.kept.append([parameter.detach().clone() for parameter in pl_module.parameters()])


@pytest.mark.parametrize(
    ("every", "steps", "before", "expected"), [(2, (1, 1), 5, True), (2, (1, 1), 4, False), (33, (1, 32), 0, False)]
)
def test_an_average_counts_the_steps_of_a_warm_start_and_of_a_learner(every, steps, before, expected):
    assert trainer_limits._goes_on(every, steps, before) == expected


@pytest.mark.parametrize(
    ("every", "steps_of_round", "expected"),
    [
        (1, (1, 1), True),
        (2, (1, 1), False),
        (3, (1, 1), True),
        (8, (4, 1), True),
        (2, (0, 2), False),
        (4, (1, 3), False),
    ],
)
def test_whether_lightnings_average_ever_updates(every, steps_of_round, expected):
    of_cost, of_sampler = steps_of_round
    steps, updates = 0, 0
    for batch in range(1, 500):
        steps += bool(of_cost) + of_sampler * (batch % max(of_cost, 1) == 0)
        updates += (steps - 1) % every == 0
    assert bool(updates) == expected == trainer_limits._goes_on(every, steps_of_round, 0)
