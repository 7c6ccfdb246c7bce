"""SIGTERM ends a process with 143 within seconds, wherever it is, and what is written is there in
full or not at all.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch

from lightning_irl import signals
from lightning_irl.command.checkpoint_io import WholeCheckpointIO
from lightning_irl.errors import Terminated
from lightning_irl.files import whole
from lightning_irl.signals import EXIT_CODE, Watch, held

GUARDED = """
import os, signal, sys, threading, time
from lightning_irl.signals import WATCH
import lightning_irl.signals as signals
WATCH.guard()
WATCH.describe = lambda: "SIGTERM at batch 7"
"""


def run(body, *then):
    """Run a guarded script, do something once it says that it is ready; exit code, what it said and the seconds it
    took.
    """
    with subprocess.Popen(
        [sys.executable, "-c", GUARDED + body], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        since = time.monotonic()
        for step in then or (lambda it: it.send_signal(signal.SIGTERM),):
            step(process)
        out, err = process.communicate(timeout=60)
    return process.returncode, out + err, time.monotonic() - since


def test_a_process_that_waits_in_c_is_ended():
    code, said, seconds = run(
        """
signals.GRACE = 0.5
import ctypes
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the signal comes to another thread, and this one waits on
threading.Timer(0.3, print, ["ready"], {"flush": True}).start()
ctypes.CDLL(None).sleep(30)  # as in an exchange with other processes: no Python runs
"""
    )
    assert code == EXIT_CODE
    assert "SIGTERM at batch 7" in said
    assert seconds < 20


def test_an_exception_that_is_lost_in_c_ends_it_all_the_same():
    code, said, _ = run(
        """
signals.GRACE = 0.5
class Lost:
    def __del__(self):  # Python prints what is raised in here, and goes on
        print("ready", flush=True)
        for _ in range(300):
            time.sleep(0.01)
            if WATCH.asked: break
        time.sleep(0.01)
Lost()
for _ in range(1000):
    time.sleep(0.01)
"""
    )
    assert code == EXIT_CODE
    assert "lightning-irl: SIGTERM at batch 7" in said


def test_forked_workers_are_no_part_of_it():
    code, said, _ = run(
        """
child = os.fork()
if child == 0:
    print("ready", flush=True)
    time.sleep(30)
    os._exit(0)
time.sleep(0.3)
os.kill(child, signal.SIGTERM)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "asked", WATCH.asked)
""",
        lambda process: None,
    )
    assert code == 0
    assert "child -15 asked False" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_begun_ends_before_a_signal_is_obeyed(number, tmp_path):
    def obey(*_):
        raise Terminated("now")

    def write(path):
        with whole(path) as aside:
            aside.write_text("all ")
            signal.raise_signal(number)
            aside.write_text("all of it")

    before = signal.signal(number, obey)
    path = tmp_path / "file"
    try:
        with pytest.raises(Terminated), held():
            write(path)
        assert signal.getsignal(number) == obey
    finally:
        signal.signal(number, before)
    assert path.read_text() == "all of it"
    assert list(tmp_path.iterdir()) == [path]
    assert signals._depth == 0


def test_a_checkpoint_that_is_being_written_is_whole_when_the_signal_is_obeyed(tmp_path, monkeypatch):
    """Within torch's writer, which turns whatever Python raises into an error of its own."""
    watch, path = Watch(), tmp_path / "a.ckpt"
    before = signal.getsignal(signal.SIGTERM)
    save = torch.save

    def interrupted(checkpoint, file):
        class Stopping:
            def write(self, data):
                signal.raise_signal(signal.SIGTERM)
                return file.write(data)

            def flush(self):
                file.flush()

        save(checkpoint, Stopping())

    monkeypatch.setattr(torch, "save", interrupted)
    io = WholeCheckpointIO()
    try:
        watch.listen()
        with pytest.raises(Terminated):
            io.save_checkpoint({"weights": torch.arange(1000.0)}, path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert io.newest == path
    assert torch.load(path, weights_only=True)["weights"].sum() == 499_500
    assert list(tmp_path.iterdir()) == [path]


def test_the_newest_checkpoint_is_one_that_is_there(tmp_path):
    io = WholeCheckpointIO()
    assert io.newest is None
    for name in ("a.ckpt", "b.ckpt"):
        io.save_checkpoint({}, tmp_path / name)
    assert io.newest == tmp_path / "b.ckpt"
    io.remove_checkpoint(tmp_path / "a.ckpt")
    assert io.newest == tmp_path / "b.ckpt"
    io.remove_checkpoint(tmp_path / "b.ckpt")
    assert io.newest is None


@pytest.mark.parametrize("verb", ["fit", "verify"])
def test_the_command_line_before_it_trains(verb):
    """While packages are imported and parts are made, which takes seconds."""
    with subprocess.Popen(
        [sys.executable, "-m", "lightning_irl", verb, "--config", "gan/eight_gaussians"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        time.sleep(0.7)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == EXIT_CODE
    assert "lightning-irl: SIGTERM before the run began" in said
    assert "Traceback" not in said
