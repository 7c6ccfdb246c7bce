"""A run that has succeeded leaves no thread of the exchange behind, which would abort its process now and then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

SCRIPT = """
import os, sys
from pathlib import Path
from lightning_irl.command.cli import main

code = main()
names = [open(f"/proc/self/task/{thread}/comm").read().strip() for thread in os.listdir("/proc/self/task")]
Path(f"left_{os.environ['RANK']}").write_text(str([name for name in names if "gloo" in name]))
sys.exit(code)
"""
CONFIG = """
threads: 1
model: {class_path: EBM, init_args: {cost: MLPCost, sampler: GaussianSampler}}
data: {class_path: ToyDataModule, init_args: {name: two_moons, train_size: 64, batch_size: 16, steps_per_epoch: 2}}
partition: {num_samples: 64, methods: [importance]}
samples: {every_n_epochs: 0}
trainer: {max_epochs: 1, enable_progress_bar: false}
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed by Linux")
def test_no_thread_of_gloo_outlives_a_run(environment, tmp_path):
    (tmp_path / "run.py").write_text(SCRIPT)
    (tmp_path / "config.yaml").write_text(CONFIG)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "run.py"]
    done = subprocess.run(
        [*start, "fit", "--config", "config.yaml", "--config", "trainer/torchrun"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # a file for each process: what two of them print at once may interleave
    assert [(tmp_path / f"left_{rank}").read_text() for rank in (0, 1)] == ["[]", "[]"]
