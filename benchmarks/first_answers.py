"""How soon the command line answers: CPU seconds of its quick answers, and of ``fit`` until its first batch.

Each is a process of its own, user and system time together; medians. ``fit`` is ended as its first batch begins, and
what stands beside it is a process that imports torch and pytorch_lightning and nothing else.

    python benchmarks/first_answers.py                                  # medians of 5
    python benchmarks/first_answers.py --repeats 1 --configs irl/maze   # of one config
    python benchmarks/first_answers.py --profile irl/maze               # where its time goes, after those imports
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

ANSWERS = {
    "--help": ["--help"],
    "configs": ["configs"],
    "an unknown config": ["fit", "--config", "gan/digit"],
    "an unknown verb": ["fitt"],
}
CONFIGS = ["gan/eight_gaussians", "ebm/two_moons", "gan/digits", "irl/pendulum"]
IMPORTS = "import torch, pytorch_lightning"
# What a process is told to run: the command line, ended as Lightning hands the first batch to the view.
UNTIL_FIRST_BATCH = """
import os, resource, sys
{before}
from lightning_irl.command.cli import main
from pytorch_lightning.loops import _TrainingEpochLoop
{profile}
def first_batch(*_):
    {after}
    sys.stdout.flush()
    os._exit(0)
_TrainingEpochLoop.advance = first_batch
sys.argv[1:] = {arguments}
sys.exit(main())
"""
PROFILE = "import cProfile, pstats; profile = cProfile.Profile(); profile.enable()"
SHOW = "profile.disable(); pstats.Stats(profile).sort_stats('cumulative').print_stats(80)"


def first_batch(config: str, is_profiled: bool = False) -> list[str]:
    """The command that fits a config until its first batch."""
    arguments = ["fit", "--config", config, "--trainer.enable_progress_bar=false"]
    script = UNTIL_FIRST_BATCH.format(
        before=IMPORTS if is_profiled else "",
        profile=PROFILE if is_profiled else "",
        after=SHOW if is_profiled else "pass",
        arguments=arguments,
    )
    return [sys.executable, "-c", script]


def cpu_seconds(command: list[str], repeats: int) -> float:
    """The median of a process's own user and system time; it and its children."""
    found = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if ended.returncode not in (0, 2):
            raise SystemExit(ended.stderr)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--configs", nargs="*", default=CONFIGS)
    parser.add_argument("--profile", metavar="CONFIG")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if options.profile:
        subprocess.run(first_batch(options.profile, is_profiled=True), check=True)
        return
    for name, arguments in ANSWERS.items():
        print(f"{name:28} {cpu_seconds([sys.executable, '-m', 'lightning_irl', *arguments], options.repeats):6.2f} s")
    imports = cpu_seconds([sys.executable, "-c", IMPORTS], options.repeats)
    print(f"{IMPORTS:28} {imports:6.2f} s")
    for config in options.configs:
        seconds = cpu_seconds(first_batch(config), options.repeats)
        print(f"{f'fit of {config}':28} {seconds:6.2f} s   {seconds / imports:.2f} times the imports")


if __name__ == "__main__":
    main()
