"""A device without float64, as Apple's: refused before training where float64 is needed, and not
what ``auto`` takes.
"""

import pytest
import pytorch_lightning as pl
import torch
from emulated_cuda import EmulatedCUDA
from pytorch_lightning.accelerators import MPSAccelerator

from lightning_irl.callbacks import LogPartition
from lightning_irl.command.cli import main
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.errors import UserError
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN
from lightning_irl.views.devices import chosen_accelerator

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real device")
SMALL = [
    "--data.steps_per_epoch=2",
    "--trainer.max_epochs=1",
    "--partition.methods=[importance]",
    "--partition.num_samples=64",
]


@pytest.fixture
def device():
    with EmulatedCUDA(has_float64=False) as device:
        yield device


def fit(*callbacks, made=lambda view: view):
    data = ToyDataModule(train_size=64, val_size=16, test_size=16, batch_size=32)
    view = made(GAN(data.event, MLPCost, GaussianSampler))
    options = {"accelerator": "gpu", "devices": 1, "inference_mode": False, "logger": False, "max_epochs": 1}
    quiet = {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(callbacks=list(callbacks), **options, **quiet).fit(view, data)
    return view


def test_training_alone_needs_none(device):
    assert fit().batches == 2


def test_what_needs_it_is_refused_before_training(device):
    with pytest.raises(
        UserError, match=r"has no float64, used by LogPartition; set trainer.accelerator=cpu, or leave out LogPart"
    ):
        fit(LogPartition())

    def with_table(view):
        view.cost.register_buffer("table", torch.zeros(3, dtype=torch.float64))
        return view

    with pytest.raises(UserError, match=r"has no float64, used by cost; set trainer.accelerator=cpu$"):
        fit(made=with_table)


def test_from_the_command_line(device, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", "gan/two_moons", *SMALL, "--trainer.accelerator=gpu"]) == 2
    assert "has no float64, used by Log" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.long
def test_auto_is_the_cpu_there(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert chosen_accelerator("auto") == "auto"
    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    assert chosen_accelerator("mps") == "mps"
    assert main(["fit", "--config", "gan/two_moons", *SMALL]) == 0
    assert "trainer.accelerator auto is cpu here" in caplog.text
    (config,) = tmp_path.rglob("config.yaml")
    assert "accelerator: cpu\n" in config.read_text()
    assert "devices: 1\n" in config.read_text()
