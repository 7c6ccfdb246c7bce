"""A run that stopped at the end of an epoch and went on is, bit for bit, the run that did not stop."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from lightning_irl.callbacks import LogEquivalence, LogPartition, LogSamples
from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.optim.schedules import DecayToZero
from lightning_irl.spaces.samples import each

CASES = runpy.run_path(str(Path(__file__).parent / "worker.py"))["CASES"]
EPOCHS, STEPS, SIZE = 3, 3, 8


def made(case):
    torch.manual_seed(0)
    view = CASES[case]()
    view.num_samples = None
    view.cost_scheduler = lambda optimizer: DecayToZero(optimizer, total=EPOCHS * STEPS)
    torch.manual_seed(1)
    if view.event["kind"] == "point":
        whole = torch.randn(48, 2) * torch.tensor([0.5, 1.5]) + 0.7
    else:
        whole = view.sampler.sample(48)[0]
    parts = [each(lambda part, at=at: part[at : at + 16], whole) for at in (0, 16, 32)]
    return view, MemoryDataModule(view.event, Splits(*parts), batch_size=SIZE, steps_per_epoch=STEPS)


def fit(case, folder, epochs, resume=None, seed=2):
    """Train up to an epoch with the callbacks of a real run; the last checkpoint."""
    view, data = made(case)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[
            LogPartition(
                num_samples=64, num_chains=8, num_temperatures=5, methods=["importance", "annealed", "bridge"]
            ),
            LogSamples(pool=32, moves=2),
            LogEquivalence(every_n_batches=2),
        ],
    )
    torch.manual_seed(seed)
    trainer.fit(view, data, ckpt_path=resume, weights_only=True)
    (path,) = (folder / "checkpoints").glob("*.ckpt")
    return path


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    [
        "gan",
        "gan, learned log_z",
        "gan, likelihood",
        "ebm, mixture",
        "ebm, tilted",
        "ebm, persistent",
        "ebm, cooperative",
        "irl, discriminator",
        "irl, guided cost",
        "irl, absorbing",
        "irl, solved",
    ],
)
def test_a_resumed_run_is_the_one_that_did_not_stop(case, tmp_path, differences):
    whole = torch.load(fit(case, tmp_path / "whole", EPOCHS), weights_only=True)
    assert whole["batches"] == EPOCHS * STEPS
    stopped = fit(case, tmp_path / "stopped", 2)
    found = torch.load(fit(case, tmp_path / "resumed", EPOCHS, stopped, seed=99), weights_only=True)
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "processes", "batches", "epoch", "global_step")
    assert not [at for part in parts for at in differences(whole[part], found[part], part)]
