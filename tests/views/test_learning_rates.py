"""Learning rates are logged by what learns, not by the optimizer's class; checkpoints stay as they were."""

import csv
from functools import partial

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger

from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN


def two_groups(parameters):
    first, *others = parameters
    return torch.optim.SGD([{"params": [first], "lr": 0.5}, {"params": others}], lr=0.25)


def test_rates_are_those_of_cost_sampler_and_warm_start(tmp_path):
    data = ToyDataModule(train_size=64, val_size=16, test_size=16, batch_size=16, steps_per_epoch=4)
    view = GAN(
        data.event,
        partial(MLPCost, hidden=[4]),
        GaussianSampler,
        warm_start=1,
        sampler_scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5),
        warm_start_optimizer=two_groups,
    )
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        log_every_n_steps=1,
        logger=CSVLogger(tmp_path, name="", version=""),
        callbacks=[LearningRateMonitor()],
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(view, data)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {key: [float(row[key]) for row in rows if row[key]] for key in rows[0] if key.startswith("lr-")}
    assert found.keys() == {"lr-cost", "lr-sampler", "lr-warm_start/pg1", "lr-warm_start/pg2"}
    assert set(found["lr-cost"]) == {0.001}
    assert set(found["lr-warm_start/pg1"]) == {0.5}
    (path,) = tmp_path.rglob("*.ckpt")
    saved = torch.load(path, weights_only=True)
    assert len(saved["lr_schedulers"]) == 1
    assert not any("name" in group for state in saved["optimizer_states"] for group in state["param_groups"])
