"""Guided cost learning on Pendulum and CartPole: return against CPU seconds, for each setting and seed.

    python benchmarks/imitation_tasks.py --demonstrations FOLDER [--tasks pendulum ...] [--seeds 0 1 2] [--store FILE]
        [--peer_python PYTHON --peers gail airl bc]

With the interpreter of an environment that has the library ``imitation``, its methods run beside ours in the same go
(``imitation_peers.py``). ``STORE.png`` shows all curves.

Every run is the shipped config by the command line's own code, with what the setting says on top. CPU seconds are those
of the training batches on one thread: imports, evaluation and reports are left out, as they are for the peers. Returns
are means over the same 50 starts, those of gymnasium's ``reset(seed=0..49)``; normalised between the random policy and
the file's mean. Runs that the store already holds are not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import torch
from matplotlib.figure import Figure
from pytorch_lightning import Callback

from lightning_irl.command.lightning_cli import TrainingCLI
from lightning_irl.command.named_configs import resolve_configs
from lightning_irl.command.quiet import quiet

TASKS: dict[str, dict[str, Any]] = {
    "pendulum": {
        "id": "Pendulum-v1",
        "file": "pendulum_v1__imitation56.npz",
        "random": -1227.8,
        "expert": -189.4,
        "threshold": 0.95,
    },
    "cartpole": {
        "id": "CartPole-v1",
        "file": "cartpole_v1__imitation57.npz",
        "random": 0.0,
        "expert": 473.1,
        "threshold": 0.9,
    },
}
SETTINGS: dict[str, dict[str, list[str]]] = {
    "pendulum": {
        "trajectory": [],
        "transition": ["--model.init_args.level", "transition", "--model.init_args.cost_batch", "2000"],
    },
    "cartpole": {
        "transition": [],
        "trajectory": [
            "--model.init_args.level",
            "trajectory",
            "--model.init_args.cost_batch",
            "null",
            "--model.init_args.cost_steps",
            "4",
            "--model.init_args.cost_optimizer.init_args.lr",
            "1e-3",
            "--model.init_args.sampler_optimizer.init_args.lr",
            "3e-3",
            "--model.init_args.learner.init_args.decay",
            "0.99",
            "--model.init_args.num_samples",
            "64",
        ],
        # no demonstrations and a constant cost: what the setting learns by itself
        "control": [
            "--model.init_args.cost.init_args.step_cost",
            "LinearStepCost",
            "--model.init_args.cost_steps",
            "0",
        ],
    },
}


class Clock(Callback):
    """CPU seconds of training, and returns on the fixed starts every few batches, which do not count."""

    def __init__(self, task: dict[str, Any], every: int) -> None:
        self.task, self.every = task, every
        self.seconds, self.steps, self.curve = 0.0, 0, []  # type: ignore[var-annotated]

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.began = time.process_time()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.seconds += time.process_time() - self.began
        self.steps += pl_module.num_samples * pl_module.event["horizon"]
        last = pl_module.batches == trainer.max_epochs * trainer.num_training_batches
        if pl_module.batches % self.every == 0 or last:
            self.curve.append(
                {"batch": pl_module.batches, "seconds": self.seconds, "steps": self.steps} | self.returns(pl_module)
            )

    def returns(self, view: Any) -> dict[str, float]:
        """Means and standard errors of the mode and of the policy as trained."""
        found = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for name, deterministic in (("mode", True), ("stochastic", False)):
                rollout = view.sampler.rollout(50, deterministic, start=starts(self.task["id"]))
                totals = rollout.rewards.sum(1).double()
                found |= {name: float(totals.mean()), f"{name}_stderr": float(totals.std() / math.sqrt(50))}
        return found


def starts(environment: str) -> tuple[Any, torch.Tensor]:
    """States and observations of gymnasium's first 50 seeds."""
    made = gymnasium.make(environment)
    observations = torch.stack([torch.from_numpy(made.reset(seed=seed)[0]) for seed in range(50)]).float()
    made.close()
    if environment == "Pendulum-v1":
        return (torch.atan2(observations[:, 1], observations[:, 0]), observations[:, 2]), observations
    return observations, observations


def run(task: str, options: list[str], seed: int, folder: Path, every: int) -> list[dict[str, Any]]:
    """One fit."""
    facts = TASKS[task]
    with tempfile.TemporaryDirectory() as root:
        arguments, _ = resolve_configs(
            [
                *("--config", f"irl/{task}", "--seed_everything", str(seed)),
                *("--data.init_args.source", str(folder / facts["file"])),
                *("--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false"),
                *("--trainer.logger", "false", "--trainer.enable_checkpointing", "false"),
                *("--imitation.every_n_batches", "1000000", "--trainer.limit_val_batches", "0"),
                *options,
            ]
        )
        sys.argv[1:] = ["fit", *arguments]
        clock = Clock(facts, every)
        kept = TrainingCLI.before_fit

        def before_fit(cli: TrainingCLI) -> None:
            kept(cli)
            cli.trainer.callbacks[:] = [clock]  # type: ignore[attr-defined]

        TrainingCLI.before_fit = before_fit  # type: ignore[method-assign]
        try:
            with quiet():
                TrainingCLI("fit", task)
        finally:
            TrainingCLI.before_fit = kept  # type: ignore[method-assign]
    return clock.curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demonstrations", type=Path, required=True, help="folder of the demonstrations' files")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--settings", nargs="+", default=None)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--every", type=int, default=2, help="batches between two evaluations")
    parser.add_argument("--store", type=Path, default=Path("imitation_tasks.jsonl"))
    parser.add_argument("--peer_python", type=Path, help="interpreter that has the library imitation")
    parser.add_argument("--peers", nargs="+", default=["gail", "airl", "bc"])
    parser.add_argument("--peer_limit", type=float, default=120, help="CPU seconds of each of its runs")
    parser.add_argument("options", nargs="*", help="after --: more options of the command line, for all runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in given.store.read_text().splitlines()] if given.store.exists() else []
    for seed in given.seeds:
        for task in given.tasks:
            for setting, work in runs(task, given).items():
                key = {"task": task, "setting": setting, "seed": seed, "options": given.options}
                if any(all(row.get(name) == value for name, value in key.items()) for row in rows):
                    continue
                rows.append(summarise(task, work(seed)) | key)
                with given.store.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    rows = [row for row in rows if row["options"] == given.options]
    for task, setting in dict.fromkeys((row["task"], row["setting"]) for row in rows):
        show(task, setting, [row for row in rows if (row["task"], row["setting"]) == (task, setting)])
    draw(rows, given.store.with_suffix(".png"))


def runs(task: str, given: argparse.Namespace) -> dict[str, Callable[[int], list[dict[str, Any]]]]:
    """What to run for a task, by name: from a seed to a curve."""
    found: dict[str, Callable[[int], list[dict[str, Any]]]] = {}
    for setting, options in SETTINGS[task].items():
        if not given.settings or setting in given.settings:
            found[setting] = partial(
                run, task, [*options, *given.options], folder=given.demonstrations, every=given.every
            )
    for method in given.peers if given.peer_python else []:
        found[f"imitation {method}"] = partial(run_peer, task, method, given=given)
    return found


def run_peer(task: str, method: str, seed: int, given: argparse.Namespace) -> list[dict[str, Any]]:
    """One run of the library imitation, in a process of its own."""
    facts = TASKS[task] | {"task": task, "file": str(given.demonstrations / TASKS[task]["file"])}
    command = [
        str(given.peer_python),
        str(Path(__file__).with_name("imitation_peers.py")),
        "--facts",
        json.dumps(facts),
    ]
    command += ["--method", method, "--seed", str(seed), "--limit", str(given.peer_limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(task: str, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """A curve with what the table says of it."""
    facts = TASKS[task]
    for point in curve:
        point["score"] = (point["mode"] - facts["random"]) / (facts["expert"] - facts["random"])
    reached = [point for point in curve if point["score"] >= facts["threshold"]]
    last = curve[-1]
    return {"curve": curve, "first": reached[0]["seconds"] if reached else None, "final": last} | {
        "rate": last["steps"] / last["seconds"]
    }


def show(task: str, setting: str, rows: list[dict[str, Any]]) -> None:
    """A line for a setting."""
    firsts = [row["first"] for row in rows]
    final = [row["final"]["score"] for row in rows]
    print(
        f"{task:9s} {setting:14s} {len(rows)} seeds: threshold after "
        + ", ".join("never" if first is None else f"{first:.1f}" for first in firsts)
        + " CPU s; at the end ("
        + ", ".join(f"{row['final']['seconds']:.1f}" for row in rows)
        + " s) "
        + ", ".join(f"{score:.3f}" for score in final)
        + f"; {statistics.median(row['rate'] for row in rows):,.0f} steps a CPU second",
        flush=True,
    )


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Normalised return against CPU seconds and against environment steps, a row of panels a task, a line a run."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure = Figure(figsize=(11, 4 * len(tasks)), layout="constrained")
    panels = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    colours = {name: f"C{index}" for index, name in enumerate(dict.fromkeys(row["setting"] for row in rows))}
    named: set[str] = set()
    for (left, right), task in zip(panels, tasks, strict=True):
        for row in (row for row in rows if row["task"] == task):
            name = row["setting"]
            look = {"color": colours[name], "linewidth": 1.2}
            scores = [max(point["score"], -0.3) for point in row["curve"]]
            label = None if name in named else name
            left.plot([point["seconds"] for point in row["curve"]], scores, label=label, **look)
            if row["final"]["steps"]:
                right.plot([point["steps"] for point in row["curve"]], scores, **look)
            named.add(name)
        for axes, label in ((left, "CPU seconds of training, one thread"), (right, "environment steps")):
            axes.axhline(TASKS[task]["threshold"], color="grey", linewidth=0.8, linestyle=":")
            axes.set(xscale="log", xlabel=label, ylim=(-0.3, 1.15))
            axes.grid(alpha=0.3)
        left.set_ylabel(f"{TASKS[task]['id']}, normalised return of the mode")
    figure.legend(loc="outside upper center", ncols=len(named), frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
