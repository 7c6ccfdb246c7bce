"""What interrupts a run loses at most the epoch under way: going on gives, bit for bit, the run that was not
interrupted.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.views import View

pytestmark = pytest.mark.long

TINY = """
model:
  class_path: {view}
  init_args:
    cost: {{class_path: MLPCost, init_args: {{hidden: [8]}}}}
    sampler: {{class_path: FlowSampler, init_args: {{transforms: 1, hidden: [8]}}}}
{options}
data: {{class_path: DigitsDataModule, init_args: {{batch_size: 16, steps_per_epoch: 20}}}}
partition: {{every_n_epochs: 0, num_samples: 64, methods: [importance]}}
samples: {{every_n_epochs: 0}}
trainer: {{accelerator: cpu, max_epochs: 100000, enable_progress_bar: false}}
"""
CHAINS = """    negative_phase: mcmc
    chains:
      class_path: Chains
      init_args: {buffer_size: 16, steps: 2, kernel: {class_path: HMC, init_args: {step_size: 0.2}}}
"""
OPTIONS = {"EBM": CHAINS, "GAN": "    log_z_by: learned\n", "IRL": "    keep_rounds: 1\n"}
PARTS = ("state_dict", "optimizer_states", "processes", "batches", "epoch")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-irl"])


def write_config(view):
    Path("tiny.yaml").write_text(TINY.format(view=view, options=OPTIONS[view]))


def command(processes, folder):
    start = [sys.executable, "-m"]
    overlay = []
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
        overlay = ["--config", "trainer/torchrun"]
    return [*start, "lightning_irl", "fit", "--config", "tiny.yaml", *overlay, "--trainer.default_root_dir", folder]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def fit(processes, folder, epochs, *arguments):
    """Train to the end of an epoch; the checkpoint."""
    options = ["--trainer.max_epochs", str(epochs), *arguments]
    if processes == 1:
        sys.argv[1:] = []
        assert main([*command(1, folder)[3:], *options]) == 0
    else:
        done = subprocess.run(
            [*command(processes, folder), *options], env=environment(), capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr[-3000:]
    return checkpoint_in(folder)


def checkpoint_in(folder):
    (path,) = Path(folder, "checkpoints").glob("*.ckpt")
    return path


def read(path):
    return torch.load(path, weights_only=True)


def interrupt(start, started_by, number):
    """End training by a signal once something is saved; what it said and how it ended."""
    with start as run:
        until = time.monotonic() + 120
        while not list(Path("interrupted").glob("checkpoints/*.ckpt")):
            assert run.poll() is None, run.stdout.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.4)  # somewhere in an epoch, or in the middle of saving
        children = started_by(run.pid)
        run.send_signal(number)
        for child in children if number == signal.SIGKILL else []:  # which torchrun had no time to end
            os.kill(child, number)
        said, _ = run.communicate(timeout=60)
    return said, run.returncode


@pytest.mark.parametrize(
    ("view", "number", "processes"),
    [
        ("IRL", signal.SIGTERM, 1),
        ("GAN", signal.SIGKILL, 1),
        ("EBM", signal.SIGTERM, 2),
        *(
            pytest.param(view, number, processes, marks=pytest.mark.slow)
            for view, number, processes in [
                ("EBM", signal.SIGKILL, 1),
                ("EBM", signal.SIGKILL, 2),
                ("GAN", signal.SIGTERM, 2),
                ("IRL", signal.SIGKILL, 2),
            ]
        ),
    ],
)
def test_a_signal_loses_no_more_than_an_epoch(view, number, processes, differences, running, started_by):
    write_config(view)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    start = running(command(processes, "interrupted"), env=environment(), **pipes)
    said, code = interrupt(start, started_by, number)
    if number == signal.SIGTERM:
        assert "SIGTERM at batch" in said
        assert "--ckpt_path last (or this path) resumes" in said
        assert processes > 1 or code == 128 + signal.SIGTERM
    found = [path for path in Path("interrupted/checkpoints").iterdir() if path.suffix == ".ckpt"]
    saved = max(found, key=lambda path: path.stat().st_mtime)
    epochs = read(saved)["epoch"] + 3
    resumed = fit(processes, "resumed", epochs, "--ckpt_path", str(saved))
    whole = fit(processes, "whole", epochs)
    first, second = read(whole), read(resumed)
    assert len(first["processes"]) == processes
    assert [at for part in PARTS for at in differences(first[part], second[part], part)] == []


@pytest.mark.parametrize("view", list(OPTIONS))
def test_an_exception_loses_no_more_than_an_epoch(view, monkeypatch, differences):
    write_config(view)
    step = View.training_step

    def failing(self, batch, index):
        if self.batches == 50:  # in the third epoch
            raise OSError("the disk with the data went away")
        return step(self, batch, index)

    with monkeypatch.context() as patched:
        patched.setattr(View, "training_step", failing)
        with pytest.raises(OSError, match="went away"):
            main(command(1, "interrupted")[3:])
    saved = checkpoint_in("interrupted")
    assert read(saved)["batches"] == 40
    resumed = fit(1, "resumed", 4, "--ckpt_path", str(saved))
    whole = fit(1, "whole", 4)
    first, second = read(whole), read(resumed)
    assert [at for part in PARTS for at in differences(first[part], second[part], part)] == []


def test_a_full_disk_is_a_clear_error_and_keeps_what_was_there():
    write_config("EBM")
    saved = fit(1, "first", 1)
    before, size = saved.read_bytes(), saved.stat().st_size

    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    done = subprocess.run(
        [*command(1, "second"), "--trainer.max_epochs", "2", "--ckpt_path", str(saved)],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        timeout=100,
    )
    assert done.returncode == 2
    for word in (
        "checkpoint second/checkpoints/",
        "cannot be written",
        "too large",
        "kept",
        "--trainer.default_root_dir",
    ):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert saved.read_bytes() == before
    assert list(Path("second/checkpoints").iterdir()) == []


def test_last_or_new_starts_the_first_run_and_goes_on_with_it():
    write_config("EBM")
    arguments = ["fit", "--config", "tiny.yaml", "--ckpt_path", "last_or_new"]
    for epochs in (1, 2):
        sys.argv[1:] = []
        assert main([*arguments, "--trainer.max_epochs", str(epochs)]) == 0
    first, second = sorted(Path("runs/ebm/tiny").iterdir())
    assert [read(checkpoint_in(run))["batches"] for run in (first, second)] == [20, 40]
    assert str(checkpoint_in(first)) in (second / "config.yaml").read_text().splitlines()[0]
