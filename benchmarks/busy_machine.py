"""What a run of two threads costs beside others: CPU and wall time of a short gan/digits alone and beside busy loops.

Every line is one run under one setting of the environment variables by which OpenMP's threads wait; without a setting,
the command line's own choice. Time is that of the whole process, user and system.

    python benchmarks/busy_machine.py                            # the command line's own choice
    python benchmarks/busy_machine.py --settings GOMP_SPINCOUNT=300000 OMP_WAIT_POLICY=passive --loops 0 2 6
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

LOOP = "while True: pass"
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")


def command(threads: int, steps: int) -> list[str]:
    """Half of the steps before the cost trains, half with it."""
    options = {
        "threads": threads,
        "model.warm_start": steps // 2,
        "data.steps_per_epoch": steps // 2,
        "trainer.max_epochs": 2,
        "trainer.logger": False,
        "trainer.enable_progress_bar": False,
        "partition.methods": "[importance]",
        "partition.num_samples": 256,
        "samples.pool": 64,
        "samples.moves": 1,
    }
    given = [f"--{key}={str(value).lower()}" for key, value in options.items()]
    return [sys.executable, "-m", "lightning_irl", "fit", "--config", "gan/digits", *given]


def measure(setting: str, loops: int, threads: int, steps: int) -> tuple[float, float]:
    """CPU and wall seconds of a run beside ``loops`` processes that do nothing but take CPU time."""
    environment = {key: value for key, value in os.environ.items() if key not in WAITING}
    environment |= dict(part.split("=") for part in setting.split(",") if part)
    others = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(loops)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            # what the loops use is not counted before they are waited for
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command(threads, steps), cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
            after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    finally:
        for other in others:
            other.kill()
            other.wait()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="*", default=[""], help="NAME=VALUE, several joined by commas")
    parser.add_argument("--loops", type=int, nargs="*", default=[0, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'setting':40} {'loops':>5} {'CPU s':>7} {'wall s':>7}")
    for _ in range(arguments.repeats):
        for loops in arguments.loops:
            for setting in arguments.settings:
                spent, wall = measure(setting, loops, arguments.threads, arguments.steps)
                print(f"{setting or '-':40} {loops:5} {spent:7.1f} {wall:7.1f}", flush=True)


if __name__ == "__main__":
    main()
