"""What each callback costs at its default interval, as a share of the time of training.

    python benchmarks/callbacks.py            # about 10 minutes on one free core

Lightning's profiler times every hook of three runs, a GAN, an EBM and an IRL, as their configs ship. Reports that are
made once, at the end of a fit, stand apart: they are not training.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

CONFIGS = ("gan/digits", "ebm/two_moons", "irl/pendulum")
AT_THE_END = ("on_train_end", "on_fit_end", "teardown")
ROW = re.compile(r"\|\s*\[Callback\](\w+)(?:\{.*?\})?\.(\w+)\s*\|\s*\S+\s*\|\s*\d+\s*\|\s*([\d.e+-]+)\s*\|")
WHOLE = re.compile(r"\|\s*run_training_epoch\s*\|\s*\S+\s*\|\s*\d+\s*\|\s*([\d.e+-]+)\s*\|")


def profile(config: str) -> tuple[float, dict[str, float], dict[str, float]]:
    """Seconds of all epochs, of each callback in them, and of each callback's report at the end."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lightning_irl", "fit", "--config", config]
        command += ["--trainer.default_root_dir", folder, "--trainer.enable_progress_bar=false"]
        command += ["--trainer.profiler=SimpleProfiler", f"--trainer.profiler.dirpath={folder}"]
        command += ["--trainer.profiler.filename=profile"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        text = "".join(path.read_text() for path in Path(folder).glob("*profile*"))
    (whole,) = WHOLE.findall(text)
    during: dict[str, float] = defaultdict(float)
    after: dict[str, float] = defaultdict(float)
    for name, hook, seconds in ROW.findall(text):
        (after if hook in AT_THE_END else during)[name] += float(seconds)
    return float(whole), during, after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS))
    options = parser.parse_args()
    print("| config | training, s | callback | share of training | report at the end, s |\n|---|---|---|---|---|")
    for config in options.configs:
        whole, during, after = profile(config)
        for name in sorted(set(during) | set(after)):
            share, seconds = during[name] / whole, after[name]
            if share >= 0.0005 or seconds >= 0.05:
                print(f"| {config} | {whole:.0f} | {name} | {share:.1%} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
