"""An EBM of images beside its own flow trained alone by likelihood for the same CPU time: certified bits per dimension,
paired.

    python benchmarks/flow_tilt.py --seeds 0 1 2    # 8x8 digits, about 25 CPU minutes a seed
    python benchmarks/flow_tilt.py --config ebm/fashion_flow --alone ebm/fashion_flow_alone --data_root ROOT --seeds 0

Both are fitted by the command line. The flow alone keeps its best validation checkpoint and gets at least the CPU time
of the EBM's whole fit, which includes its estimates of log Z. Each image of the test part is scored by both with the
same dequantisation noise; the difference's standard error is that of the mean over images, beside that of log Z;
likewise against the EBM's own frozen flow. Rows go to benchmarks/results/flow_tilt.jsonl, and what is there is not run
again.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

STORE = Path(__file__).parent / "results" / "flow_tilt.jsonl"


def run(verb: str, config: str, folder: Path, *arguments: str) -> float:
    """Run the command line; CPU seconds that it took, of all its threads."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable,
        "-m",
        "lightning_irl",
        verb,
        "--config",
        config,
        "--trainer.default_root_dir",
        str(folder),
    ]
    subprocess.run([*command, "--trainer.enable_progress_bar=false", *arguments], check=True, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def scores(config: str, folder: Path, checkpoint: Path, *arguments: str) -> dict[str, np.ndarray]:
    """Cost and log q of every test image."""
    run("predict", config, folder, "--ckpt_path", str(checkpoint), *arguments)
    return dict(np.load(folder / "predictions.npz", allow_pickle=False))


def newest(folder: Path) -> Path:
    """The checkpoint that a fit kept."""
    return max((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def compare(options: argparse.Namespace, seed: int) -> dict[str, object]:
    """One seed's row."""
    shared = ["--seed_everything", str(seed)]
    if options.data_root:
        shared += ["--data.init_args.root", options.data_root]
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: Path(temporary) / name for name in ("fit", "test", "scores", "alone", "alone_scores")}
        seconds = run("fit", options.config, folders["fit"], *shared)
        checkpoint = newest(folders["fit"])
        run("test", options.config, folders["test"], "--ckpt_path", str(checkpoint), *shared)
        report = json.loads((folders["test"] / "partition_test.json").read_text())
        alone_seconds = run("fit", options.alone, folders["alone"], *shared)
        model = scores(options.config, folders["scores"], checkpoint, *shared)
        alone = scores(options.alone, folders["alone_scores"], newest(folders["alone"]), *shared)
    certifying = [e for e in report["estimates"] if e["certifies"]]
    trusted = [e for e in certifying if e["reliable"]]
    best = min(trusted or certifying, key=lambda estimate: estimate["stderr"])
    unit = math.prod(model["samples"].shape[1:]) * math.log(2)
    gain = (-model["cost"].astype(np.float64) - best["log_z"] - alone["log_q"]) / unit
    over_own = (-model["cost"].astype(np.float64) - best["log_z"] - model["log_q"]) / unit
    results = report["results"]
    return {
        "config": options.config,
        "seed": seed,
        "gain": float(gain.mean()),
        "stderr_images": standard_error(gain),
        "gain_over_own": float(over_own.mean()),
        "stderr_over_own": standard_error(over_own),
        "stderr_log_z": best["stderr"] / unit,
        "bits_model": results["test/bits_per_dim_sampler"] - float(over_own.mean()),
        "bits_own_flow": results["test/bits_per_dim_sampler"],
        "bits_alone": results["test/bits_per_dim_sampler"] - float(over_own.mean()) + float(gain.mean()),
        "log_z": {e["method"]: [e["log_z"], e["stderr"], e["reliable"], e["reason"]] for e in report["estimates"]},
        "by": best["method"] + ("" if trusted else ", not reliable"),
        "ess": results.get("partition/ess"),
        "cpu_seconds": seconds,
        "cpu_seconds_alone": alone_seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="ebm/digits_flow")
    parser.add_argument("--alone", default="ebm/digits_flow_alone")
    parser.add_argument("--data_root", default=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--store", type=Path, default=STORE)
    options = parser.parse_args()
    options.store.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in options.store.read_text().splitlines()] if options.store.exists() else []
    for seed in options.seeds:
        if not any((row["config"], row["seed"]) == (options.config, seed) for row in rows):
            rows.append(compare(options, seed))
            with options.store.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    heads = ["seed", "EBM", "its own flow", "difference", "flow alone, as long", "difference", "error of log Z"]
    heads += ["log Z by", "ESS of importance", "CPU s", "CPU s alone"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for row in rows:
        if row["config"] == options.config and row["seed"] in options.seeds:
            print(
                f"| {row['seed']} | {row['bits_model']:.4f} | {row['bits_own_flow']:.4f} "
                f"| {row['gain_over_own']:.4f} +- {row['stderr_over_own']:.4f} | {row['bits_alone']:.4f} "
                f"| {row['gain']:.4f} +- {row['stderr_images']:.4f} | {row['stderr_log_z']:.4f} | {row['by']} | "
                f"{row['ess']:.3f} "
                f"| {row['cpu_seconds']:.0f} | {row['cpu_seconds_alone']:.0f} |"
            )


if __name__ == "__main__":
    main()
