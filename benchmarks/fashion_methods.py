"""Seven ways to model FashionMNIST, each for about the same time: likelihood, distance in named features, and what each
makes of digits.

    python benchmarks/fashion_methods.py --root ROOT    # at most 10 minutes a method on 2 cores; resumable

ROOT holds the data (docs/images.md). Configs are in benchmarks/fashion; what a method leaves is in
benchmarks/results/fashion/METHOD, and a method that is done is not run again. The feature network is trained once, on
10,000 training images, and shared by all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "results" / "fashion"
WITHOUT_REPORTS = ("--quality.num_samples=0", "--partition.methods=[]")  # the test makes them
METHODS = {
    "flow": "flow by likelihood",
    "nce": "NCE, noise a fitted Gaussian",
    "density_gan": "density GAN",
    "importance": "EBM, importance",
    "mcmc": "EBM, persistent chains",
    "ebgan": "EBGAN",
    "plain_gan": "plain GAN",
}


def command(verb: str, method: str, root: str, folder: Path, *arguments: str) -> list[str]:
    configs = [str(HERE / "fashion" / f"{name}.yaml") for name in ("common", method)]
    shared = [part for config in configs for part in ("--config", config)]
    start = [sys.executable, "-m", "lightning_irl", verb, *shared, "--trainer.default_root_dir", str(folder)]
    return [*start, "--data.init_args.root", root, "--trainer.enable_progress_bar=false", *arguments]


def timed(command: list[str]) -> float:
    """Run a command; the seconds that it took."""
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def run(method: str, root: str) -> None:
    """Fit a method and test it; its numbers go to ``done.json``."""
    folder = FOLDER / method
    features = sorted(FOLDER.glob("features/*.pt"))
    known = ["--quality.features", str(features[0])] if features else []
    if not (folder / "seconds.json").exists():
        shutil.rmtree(folder, ignore_errors=True)  # of a fit that was interrupted
        seconds = timed(command("fit", method, root, folder, *WITHOUT_REPORTS))
        (folder / "seconds.json").write_text(json.dumps(seconds))
    checkpoint = max((folder / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    test = folder / f"test-{time.strftime('%H%M%S')}"
    test_seconds = timed(command("test", method, root, test, "--ckpt_path", str(checkpoint), *known))
    found = {"seconds": json.loads((folder / "seconds.json").read_text()), "test_seconds": test_seconds}
    for name in ("partition", "quality"):
        path = test / f"{name}_test.json"
        if path.exists():
            report = json.loads(path.read_text())
            found |= report["results"] | {
                f"{name}_report": {key: value for key, value in report.items() if key != "results"}
            }
    with (test / "metrics.csv").open() as file:
        found |= last_values(file.read().splitlines())
    if not features:
        (FOLDER / "features").mkdir(exist_ok=True)
        for path in (test / "features").glob("*.pt"):
            path.rename(FOLDER / "features" / path.name)
    (folder / "done.json").write_text(json.dumps(found, indent=1))


def last_values(lines: list[str]) -> dict[str, float]:
    """The last value of every column of a table."""
    heads = lines[0].split(",")
    rows = [dict(zip(heads, line.split(","), strict=True)) for line in lines[1:]]
    return {head: float(row[head]) for row in rows for head in heads if row[head]}


def table() -> str:
    heads = [
        "method",
        "bits/dim of q",
        "of the model",
        "log Z by",
        "Frechet q",
        "Frechet model",
        "AUROC cost",
        "AUROC -log q",
        "minutes of fit and test",
    ]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for method, label in METHODS.items():
        path = FOLDER / method / "done.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        estimates = found.get("partition_report", {}).get("estimates", [])
        trusted = [e for e in estimates if e["certifies"] and e["reliable"]]
        by = min(trusted, key=lambda e: e["stderr"])["method"] if trusted else "none reliable" if estimates else ""

        def value(start: str, end: str = "", digits: int = 2, found: dict = found) -> str:
            keys = [key for key in found if key.startswith(start) and key.endswith(end) and "stderr" not in key]
            return f"{found[keys[0]]:.{digits}f}" if keys else ""

        cells = [
            value("test/bits_per_dim_sampler", digits=4),
            value("test/bits_per_dim_model", digits=4),
            by,
            value("quality/frechet", "/sampler", 1),
            value("quality/frechet", "/model", 1),
            value("ood/auroc_energy", digits=3),
            value("ood/auroc_sampler", digits=3),
            f"{found['seconds'] / 60:.1f} + {found['test_seconds'] / 60:.1f}",
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of the data")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for method in options.methods:
        if not (FOLDER / method / "done.json").exists():
            run(method, options.root)
    print(table())


if __name__ == "__main__":
    main()
