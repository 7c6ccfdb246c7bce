"""The point-mass maze of the AIRL paper: a cost of states learned in one maze teaches a fresh policy in another.

    python benchmarks/maze_transfer.py [--seeds 0 1 2 3 4] [--store FILE] [--learn OPTIONS ...] [--retrain OPTIONS ...]

For each seed: ``irl/maze`` learns from demonstrations where the barrier can be passed on the left (``imitated``). Its
policy is put where it can be passed on the right (``transferred``), and so are a policy of actions at random, a fresh
one that ``irl/maze_retrain`` trains on the learned cost, frozen (``retrained``), and one that it trains on the true
reward (``true``). Returns are means over the same 200 starts, of the policy's mode and of the policy as trained.
``share`` is how far the retrained policy goes from the transferred one to that of the true reward. CPU seconds of
training, one thread. Runs that the store already holds are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lightning_irl.command.lightning_cli import CLI
from lightning_irl.command.named_configs import config_path
from lightning_irl.command.quiet import quiet
from lightning_irl.environments import PointMassMaze
from lightning_irl.samplers import PolicySampler
from lightning_irl.views import View

EPISODES = 200
QUIET = {"logger": "false", "enable_checkpointing": "false", "enable_progress_bar": "false", "limit_val_batches": "0"}
STEP_COST = "--model.init_args.cost.init_args.step_cost"
TRUE = [
    "--cost_from=null",
    f"{STEP_COST}=TrueRewardCost",
    f"{STEP_COST}.init_args.environment=PointMassMaze",
    "--model.init_args.temperature=0.01",
]


def fit(config: str, seed: int, options: list[str], folder: str) -> tuple[View, Path, float]:
    """The trained view, its checkpoint and the CPU seconds of its training."""
    fixed = [f"--trainer.{key}={value}" for key, value in QUIET.items()]
    fixed += [f"--seed_everything={seed}", f"--trainer.default_root_dir={folder}"]
    with quiet():
        cli = CLI(config, run=False, args=["--config", str(config_path(config)), *fixed, *options])
        cli.trainer.callbacks[:] = []
        started = time.process_time()
        cli.trainer.fit(cli.model, cli.datamodule)
        seconds = time.process_time() - started
        path = Path(folder) / f"{time.time_ns()}.ckpt"
        cli.trainer.save_checkpoint(path)
    return cli.model, path, seconds


def returns(sampler: PolicySampler, gap: Any) -> dict[str, float]:
    """Of a policy in a maze."""
    moved = PolicySampler(sampler.event, PointMassMaze(gap), lambda event: sampler.policy)
    found = {}
    for name, deterministic in (("mode", True), ("stochastic", False)):
        torch.manual_seed(0)
        found[name] = float(moved.rollout(EPISODES, deterministic).rewards.sum(1).double().mean())
    return found


def run(seed: int, learn: list[str], retrain: list[str]) -> dict[str, Any]:
    """Everything for one seed."""
    with tempfile.TemporaryDirectory() as folder:
        view, checkpoint, seconds = fit("irl/maze", seed, learn, folder)
        found: dict[str, Any] = {
            "imitated": returns(view.sampler, "left"),
            "transferred": returns(view.sampler, "right"),
            "random": returns(view.sampler.at_random(), "right"),
            "seconds": {"learn": seconds},
        }
        for name, options in (("retrained", [*retrain, f"--cost_from={checkpoint}"]), ("true", TRUE)):
            view, _, seconds = fit("irl/maze_retrain", seed + 1000, options, folder)
            found[name] = returns(view.sampler, "right")
            found["seconds"][name] = seconds
    for kind in ("mode", "stochastic"):
        start, end = found["transferred"][kind], found["true"][kind]
        found[f"share_{kind}"] = (found["retrained"][kind] - start) / (end - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--store", type=Path, default=Path("maze_transfer.jsonl"))
    parser.add_argument("--learn", nargs="*", default=[], help="options of irl/maze, without their leading dashes")
    parser.add_argument("--retrain", nargs="*", default=[], help="options of irl/maze_retrain, likewise")
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = {name: [f"--{option}" for option in getattr(given, name)] for name in ("learn", "retrain")}
    rows = [json.loads(line) for line in given.store.read_text().splitlines()] if given.store.exists() else []
    for seed in given.seeds:
        key = {"seed": seed} | options
        if not any(all(row[name] == value for name, value in key.items()) for row in rows):
            rows.append(run(seed, **options) | key)
            with given.store.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    rows = [row for row in rows if all(row[name] == value for name, value in options.items())]
    names = ("random", "imitated", "transferred", "retrained", "true")
    print("| seed | of the | " + " | ".join(names) + " | share | CPU s |\n" + "|---" * (len(names) + 4) + "|")
    for row in rows:
        for kind in ("mode", "stochastic"):
            values = " | ".join(f"{row[name][kind]:.2f}" for name in names)
            spent = ", ".join(f"{seconds:.0f}" for seconds in row["seconds"].values())
            print(f"| {row['seed']} | {kind} | {values} | {row[f'share_{kind}']:.3f} | {spent} |")
    for kind in ("mode", "stochastic"):
        shares = [row[f"share_{kind}"] for row in rows]
        print(f"share, {kind}: least {min(shares):.3f}, median {statistics.median(shares):.3f}")


if __name__ == "__main__":
    main()
