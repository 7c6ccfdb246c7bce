"""Stop fits by SIGTERM at random moments: the exit code, the seconds, what is said and what is left on the disk.

    python benchmarks/random_stops.py                  # fifty stops; goes on where it was stopped itself
    python benchmarks/random_stops.py --table          # the table of what was measured

Each stop is a line of a JSON-lines file. A stop is right if the code is 143, every checkpoint on the disk loads, the
one that is named is the newest of them, and no half-written file is left. The model has 2 million parameters, so that
writing one takes long enough to be hit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

CONFIG = """
model:
  class_path: GAN
  init_args:
    cost: {class_path: MLPCost, init_args: {hidden: [1400, 1400]}}
    sampler: {class_path: FlowSampler, init_args: {transforms: 1, hidden: [8]}}
    log_z_by: learned
data: {class_path: ToyDataModule, init_args: {name: eight_gaussians, batch_size: 32, steps_per_epoch: STEPS}}
partition: {every_n_epochs: 0, num_samples: 64, methods: [importance]}
samples: {every_n_epochs: 0}
trainer: {accelerator: cpu, max_epochs: 100000, enable_progress_bar: false}
"""
# What is stopped, and how often of fifty.
CASES = {
    "while a checkpoint is written": 20,
    "within an epoch": 15,
    "before training": 5,
    "one of two processes, of Lightning": 5,
    "in an exchange with a process that hangs": 5,
}


def stop(case: str, draw: random.Random, folder: Path) -> dict[str, object]:
    """Start a fit, stop it, and look at what is left."""
    is_saving = case == "while a checkpoint is written"
    (folder / "stopped.yaml").write_text(CONFIG.replace("STEPS", "2" if is_saving else "40"))
    command = [sys.executable, "-m", "lightning_irl", "fit", "--config", "stopped.yaml"]
    processes = 2 if "process" in case else 1
    if processes > 1:
        command += ["--trainer.strategy", "ddp", "--trainer.devices", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        others = wait(case, draw, folder, run)
        at = time.monotonic()
        run.send_signal(signal.SIGTERM)
        try:
            run.wait(60)
        except subprocess.TimeoutExpired:
            run.kill()
        seconds = time.monotonic() - at
        for other in others:
            os.kill(other, signal.SIGCONT)
        said, _ = run.communicate()
    return {"code": run.returncode, "seconds": round(seconds, 2), "said": said[-600:], **left(folder, said)}


def wait(case: str, draw: random.Random, folder: Path, run: subprocess.Popen[str]) -> list[int]:
    """Wait for the moment; the processes that were made to hang."""
    if case == "before training":
        time.sleep(draw.uniform(0.5, 4))
        return []
    until = time.monotonic() + 180
    while not list(folder.glob("runs/*/*/*/checkpoints/*.ckpt")):
        if run.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"no checkpoint: {run.stdout.read() if run.stdout and run.poll() is not None else ''}")
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 3))
    if case == "while a checkpoint is written":
        while not list(folder.glob("runs/*/*/*/checkpoints/.*.partial")):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.03))
    if case != "in an exchange with a process that hangs":
        return []
    found = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    others = [int(pid) for pid in found if b"lightning_irl" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    time.sleep(1)  # the first process waits for it now
    return others


def left(folder: Path, said: str) -> dict[str, object]:
    """What is on the disk, and whether it is what was said."""
    found = list(folder.glob("runs/*/*/*/checkpoints/*.ckpt"))
    loads = 0
    for path in found:
        with contextlib.suppress(Exception):  # whatever torch says of half a file; it is counted
            torch.load(path, weights_only=True)
            loads += 1
    named = re.search(r"saved is (\S+)", said)
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    is_right = (folder / named[1] == newest) if named else newest is None
    partial = len(list(folder.glob("runs/*/*/*/checkpoints/.*")))
    return {"checkpoints": len(found), "load": loads, "named_rightly": is_right, "half_written": partial}


def is_right(row: dict[str, object]) -> bool:
    """Whether a stop was as promised."""
    return bool(
        row["code"] == 143 and row["named_rightly"] and row["load"] == row["checkpoints"] and not row["half_written"]
    )


def table(rows: list[dict[str, object]]) -> str:
    """The table of docs/scaling.md."""
    lines = ["| stopped | stops | as promised | seconds to the end, median (longest) |", "|---|---|---|---|"]
    for case in CASES:
        of = [row for row in rows if row["case"] == case]
        seconds = sorted(float(str(row["seconds"])) for row in of)
        if of:
            times = f"{seconds[len(of) // 2]:.1f} ({seconds[-1]:.1f})"
            lines.append(f"| {case} | {len(of)} | {sum(map(is_right, of))} | {times} |")
    return "\n".join(lines)


def main() -> None:
    """Stop what has not been stopped yet, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path("random_stops.jsonl"), help="what was measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table", action="store_true", help="stop nothing, show the table")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text().splitlines()] if options.file.exists() else []
    wanted = [case for case, times in CASES.items() for _ in range(times)]
    random.Random(options.seed).shuffle(wanted)
    for number, case in enumerate(wanted if not options.table else []):
        if number < len(rows):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = {"case": case, **stop(case, random.Random(f"{options.seed} {number}"), Path(folder))}
        rows.append(row)
        with options.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if not is_right(row):
            print(json.dumps(row, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
