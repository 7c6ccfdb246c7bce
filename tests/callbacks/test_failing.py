"""A report, a picture or a logger that fails costs itself and a line; never the run, its checkpoint or the other
processes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger

from lightning_irl.callbacks import LogEquivalence, LogPartition, LogSamples, Summary, partition, samples
from lightning_irl.callbacks.failing import left_out, spares_the_run
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.errors import Terminated, UserError
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN
from lightning_irl.views.finite import NonFiniteError


class Pictures(Logger):
    """A logger that shows pictures, or has no room for them."""

    name, version = "pictures", 0

    def __init__(self, fails=False):
        super().__init__()
        self.fails, self.keys = fails, []

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *args, **kwargs):
        pass

    def log_image(self, key, images, step=None):
        if self.fails:
            raise ConnectionError("the server is gone")
        self.keys.append(key)


class Mine(Callback):
    """A report of a user's own."""

    def __init__(self, error):
        self.error = error

    @spares_the_run
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        raise self.error


@pytest.fixture
def spared():
    """Without the tests' rule that a report that fails is an error; what is said, in order."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield lambda: [str(one.message) for one in said if "is left out at batch" in str(one.message)]


def fit(folder, *callbacks, loggers=False):
    pl.seed_everything(0)
    data = ToyDataModule(train_size=64, val_size=64, test_size=64, batch_size=16, steps_per_epoch=3)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=folder,
        logger=loggers,
        callbacks=[*callbacks, Summary()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(GAN(data.event, lambda event: MLPCost(event, hidden=[4]), GaussianSampler), data)
    return trainer


def reports():
    return LogPartition(num_samples=64, methods=["importance"]), LogSamples(pool=64, moves=2)


def broken(*args, **kwargs):
    raise TypeError("Invalid shape (8, 8, 2)\nfor image data")


def test_a_picture_that_cannot_be_made_costs_itself_alone(tmp_path, monkeypatch, spared, capsys):
    monkeypatch.setattr(samples, "plane_figure", broken)
    monkeypatch.setattr(partition, "partition_figure", broken)
    trainer = fit(tmp_path, *reports())
    assert trainer.global_step == 6
    assert len(list(tmp_path.rglob("*.ckpt"))) == 1
    assert json.loads((tmp_path / "partition_val.json").read_text())["results"]["val/nll_sampler"] > 0
    assert len(list(tmp_path.glob("tables/samples/table/*.csv"))) == 1
    assert sorted(line.partition(". The run")[0] for line in spared()) == [
        f"{key} is left out at batch 3: TypeError: Invalid shape (8, 8, 2)"
        for key in ("partition/history", "samples/plane")
    ]
    printed = " ".join(capsys.readouterr().out.split())
    assert all(line in printed for line in left_out(trainer))


def test_a_report_that_fails_is_left_out_whole_and_said_once(tmp_path, monkeypatch, spared, capsys):
    monkeypatch.setattr(LogPartition, "estimate", broken)
    monkeypatch.setattr("lightning_irl.callbacks.equivalence.monitor", broken)
    trainer = fit(tmp_path, LogEquivalence(1), Mine(UserError("of its own")), *reports())
    assert trainer.global_step == 6
    assert len(list(tmp_path.rglob("*.ckpt"))) == len(list(tmp_path.glob("figures/samples/plane/*.png"))) == 1
    assert [line.partition(" is")[0] for line in spared()] == ["LogEquivalence", "Mine", "LogPartition"]
    assert "at batch 1: UserError: of its own. The run goes on" in spared()[1]
    assert "Likelihood" not in capsys.readouterr().out


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path, monkeypatch, spared):
    def full(canvas, path, *args, **kwargs):
        with Path(path).open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", full)
    monkeypatch.setattr(
        "lightning_irl.callbacks.publish.json.dumps", lambda *args, **kwargs: full(None, tmp_path / "x")
    )
    fit(tmp_path, *reports())
    assert len(list(tmp_path.rglob("*.ckpt"))) == 1
    assert not [path for path in (*tmp_path.rglob("figures/**/*"), *tmp_path.rglob("*.json")) if path.is_file()]
    assert len(spared()) == 3
    assert all("No space left on device" in line for line in spared())


def test_a_logger_that_fails_keeps_neither_the_file_nor_the_other_loggers(tmp_path, spared):
    failing, working = Pictures(fails=True), Pictures()
    fit(tmp_path, LogSamples(), loggers=[failing, working])
    assert working.keys == ["samples/plane"]
    assert len(list(tmp_path.glob("figures/samples/plane/*.png"))) == 1
    (line,) = spared()
    assert line.startswith("samples/plane in Pictures is left out at batch 3: ConnectionError: the server is gone")


@pytest.mark.parametrize("error", [NonFiniteError("loss"), Terminated("SIGTERM"), KeyboardInterrupt(), SystemExit(1)])
def test_what_ends_a_run_ends_it(error):
    trainer = SimpleNamespace(lightning_module=None, global_step=0)
    with pytest.raises(type(error)):
        Mine(error).on_train_batch_end(trainer, None, None, None, 0)


TOGETHER = """
import sys
import torch
import torch.distributed as dist
from lightning_irl.processes import OtherProcessError, failing_together, gather, leave, total

path, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=3)
for fails in [(1, 0), (2, 1), (0, 2), (1, 3)]:  # the process, and after how many exchanges
    try:
        with failing_together():
            for step in range(3):
                if (rank, step) == fails:
                    raise ValueError(f"at {step}")
                assert gather(torch.full((rank + 1,), float(step))).tolist() == [float(step)] * 6
            if (rank, 3) == fails:
                raise ValueError("at 3")
        raise AssertionError("nobody failed")
    except ValueError as error:
        heard = f"process {rank}: ValueError: {error}"
        assert rank == fails[0]
    except OtherProcessError as error:
        heard = str(error)
        assert rank != fails[0]
    assert heard == f"process {fails[0]}: ValueError: at {fails[1]}"
with failing_together():
    assert total(torch.ones(())) == 3
leave()  # else a thread of gloo may abort the interpreter's end
"""


@pytest.mark.long
def test_where_one_process_fails_all_leave_and_go_on_together(tmp_path):
    start = [sys.executable, "-c", TOGETHER, str(tmp_path / "meeting")]
    started = [subprocess.Popen([*start, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(3)]
    errors = [one.communicate(timeout=120)[1] for one in started]
    assert [one.returncode for one in started] == [0, 0, 0], errors


def test_looking_leaves_parameters_and_random_numbers_as_they_were(tmp_path, monkeypatch, spared):
    def states(folder, *callbacks):
        return fit(folder, *callbacks).lightning_module.state_dict()

    unseen = states(tmp_path / "unseen")
    monkeypatch.setattr("lightning_irl.callbacks.equivalence.publish_scalars", broken)
    looked = states(tmp_path / "looked", LogEquivalence(1))
    assert spared()
    assert all(torch.equal(value, looked[key]) for key, value in unseen.items())
