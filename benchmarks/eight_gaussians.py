"""Eight Gaussians: KL divergence against CPU seconds, for this project and for peers, in one go.

Project: a shipped config, trained by Lightning's Trainer as the command line would. Peers (installed beside it:
``pip install ebmkit==0.16.0 torchebm==0.8.9``) as their own examples say, with the same 8,192 training points and,
where they take one, the same energy 2-128-128-1; a seed is that of the points too. One thread; CPU seconds of the
process in training alone (looking is not counted).

    python benchmarks/eight_gaussians.py --seeds 0 1 2 --configs gan/eight_gaussians gan/eight_gaussians_nce
    python benchmarks/eight_gaussians.py --seeds 0 --peers zuko-nsf ebmkit-nce torchebm-pcd
    python benchmarks/eight_gaussians.py --table            # table and figure of all that has been measured

KL(data, p) by quadrature on 801 x 801 points of [-5, 5]^2; log Z also on [-8, 8]^2, where it must be the same.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn

from lightning_irl.command.lightning_cli import CLI
from lightning_irl.command.named_configs import config_path
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.views import View

LOOKS = (2, 5, 8, 13, 20, 30, 40, 50, 60, 75, 90)  # CPU seconds
RESULTS = Path(__file__).parent / "results" / "eight_gaussians.jsonl"
Score = Callable[[Tensor], Tensor]  # samples (B, 2) -> log density (B,), up to a constant for an energy


def grid(reach: float, points: int = 801) -> tuple[Tensor, float]:
    axis = torch.linspace(-reach, reach, points)
    cell = 2 * math.log(2 * reach / (points - 1))
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).view(-1, 2), cell


@torch.no_grad()
def log_integral(score: Score, reach: float) -> float:
    points, cell = grid(reach)
    return float(torch.logsumexp(torch.cat([score(part).double() for part in points.split(65_536)]), 0) + cell)


@torch.no_grad()
def divergence(score: Score, data: ToyDataModule) -> dict[str, float]:
    points, cell = grid(5.0)
    log_p = torch.cat([data.density.log_prob(part).double() for part in points.split(65_536)])
    values = torch.cat([score(part).double() for part in points.split(65_536)])
    log_z = float(torch.logsumexp(values, 0) + cell)
    weights = log_p.exp()
    between = log_p < log_p.max() - math.log(1e4)
    return {
        "kl": float((weights * (log_p - values + log_z)).nan_to_num(0.0).sum() / weights.sum()),
        "log_z": log_z,
        "mass_between": float((values[between].logsumexp(0) + cell).exp() / math.exp(log_z)),
    }


class Clock(pl.Callback):
    """Looks at a view at given CPU seconds of training; the time of looking is not counted."""

    def __init__(self, data: ToyDataModule) -> None:
        self.data, self.rows, self.due = data, [], list(LOOKS)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.started = time.process_time()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: View, *_: Any) -> None:
        if self.due and time.process_time() - self.started >= self.due[0]:
            self.due.pop(0)
            self.look(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: View) -> None:
        self.look(trainer, pl_module)

    def look(self, trainer: pl.Trainer, view: View) -> None:
        before = time.process_time()
        averaging = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]
        for callback in averaging:  # what is looked at is what validation would see: averaged weights, if there are any
            callback.on_validation_epoch_start(trainer, view)
        row = {"cpu_s": before - self.started, "batches": view.batches}
        row |= divergence(lambda x: -view.energy(x), self.data)
        row["kl_sampler"] = divergence(view.sampler.log_prob, self.data)["kl"]
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        for callback in averaging:
            callback.on_validation_epoch_end(trainer, view)
        self.started += time.process_time() - before


def run_config(name: str, seed: int, folder: str) -> list[dict[str, Any]]:
    quiet = {
        "default_root_dir": folder,
        "logger": "false",
        "enable_checkpointing": "false",
        "enable_progress_bar": "false",
        "limit_val_batches": "0",
    }
    arguments = [part for key, value in quiet.items() for part in (f"--trainer.{key}", value)]
    cli = CLI(
        name,
        run=False,
        args=["--config", str(config_path(name)), "--seed_everything", str(seed), "--data.seed", str(seed), *arguments],
    )
    clock = Clock(cli.datamodule)
    cli.trainer.callbacks.insert(0, clock)
    cli.trainer.fit(cli.model, cli.datamodule)
    view, last = cli.model.eval(), clock.rows[-1]
    last["log_z_wide"] = log_integral(lambda x: -view.energy(x), 8.0)
    before = time.process_time()
    last["estimates"] = [asdict(e) for e in cli.config_init.partition.estimate(view.pair, cli.datamodule.splits.val)]
    last["estimates_cpu_s"] = time.process_time() - before
    return clock.rows


class EnergyNetwork(nn.Module):
    """The energy 2-128-128-1 with SiLU that peers are given."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(2, 128), (128, 128), (128, 1)]
        layers = [layer for i, o in sizes for layer in (nn.Linear(i, o), nn.SiLU())]
        self.network = nn.Sequential(*layers[:-1])

    def forward(self, samples: Tensor) -> Tensor:
        return self.network(samples).squeeze(-1)


def zuko_nsf(points: Tensor) -> tuple[Score, Callable[[], None]]:
    import zuko

    flow = zuko.flows.NSF(features=2, transforms=5, hidden_features=(64, 64))
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)

    def step() -> None:
        loss = -flow().log_prob(points[torch.randint(len(points), (256,))]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return lambda x: flow().log_prob(x), step


def ebmkit_nce(points: Tensor) -> tuple[Score, Callable[[], None]]:
    import ebm

    energy, loss = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128)), ebm.NoiseContrastiveEstimation()
    optimizer = torch.optim.Adam([*energy.parameters(), *loss.parameters()], lr=1e-3)

    def step() -> None:
        value = loss(energy, points[torch.randint(len(points), (256,))]).loss
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return lambda x: -energy(x), step


def torchebm_pcd(points: Tensor) -> tuple[Score, Callable[[], None]]:
    from torchebm.core import BaseModel
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import LangevinDynamics

    class TorchEBMEnergy(BaseModel):
        def __init__(self) -> None:
            super().__init__()
            self.net = EnergyNetwork()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    energy = TorchEBMEnergy()
    sampler = LangevinDynamics(model=energy, step_size=0.005, noise_scale=1.0)
    divergence_loss = ContrastiveDivergence(model=energy, sampler=sampler, k_steps=10, persistent=True)
    optimizer = torch.optim.Adam(energy.parameters(), lr=1e-3)

    def step() -> None:
        loss, _ = divergence_loss(points[torch.randint(len(points), (256,))])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return lambda x: -energy(x), step


PEERS = {"zuko-nsf": (zuko_nsf, 3000), "ebmkit-nce": (ebmkit_nce, 20_000), "torchebm-pcd": (torchebm_pcd, 3000)}


def run_peer(name: str, seed: int) -> list[dict[str, Any]]:
    build, steps = PEERS[name]
    torch.manual_seed(seed)
    data = ToyDataModule("eight_gaussians", batch_size=256, seed=seed)
    score, step = build(data.splits.train)
    rows, spent, due = [], 0.0, list(LOOKS)
    for index in range(steps):
        before = time.process_time()
        step()
        spent += time.process_time() - before
        if index == steps - 1 or (due and spent >= due[0]):
            rows.append({"cpu_s": spent, "batches": index + 1} | divergence(score, data))
            due = [look for look in due if look > spent]
    return rows


def table(rows: list[dict[str, Any]]) -> None:
    """The last look of every run, and the look at 13 CPU seconds, medians over seeds."""
    for row in rows:
        for estimate in row["looks"][-1].get("estimates", []):
            if estimate["certifies"]:
                gap = estimate["log_z"] - row["looks"][-1]["log_z_wide"]
                verdict = "reliable" if estimate["reliable"] else "unreliable"
                print(
                    f"{row['run']} seed {row['seed']} {estimate['method']:15s} off by {gap:+.4f} +- "
                    f"{estimate['stderr']:.4f} {verdict}"
                )
    print(
        "| run | seeds | KL at 13 CPU s | KL at the end (each seed) | KL of the sampler | log Z, grid / wide grid | "
        "CPU s |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(row["run"] for row in rows):
        runs = [row for row in rows if row["run"] == name]
        ends = [run["looks"][-1] for run in runs]
        early = [next((look["kl"] for look in run["looks"] if look["cpu_s"] >= 13), math.nan) for run in runs]
        sampler = ", ".join(f"{end['kl_sampler']:.3f}" for end in ends if "kl_sampler" in end)
        wide = f"{ends[0]['log_z']:.4f} / {ends[0].get('log_z_wide', math.nan):.4f}"
        late = ", ".join(f"{end['kl']:.4f}" for end in ends)
        spent = statistics.median(end["cpu_s"] for end in ends)
        print(
            f"| {name} | {len(runs)} | {statistics.median(early):.3f} | {late} "
            f"| {sampler or '-'} | {wide} | {spent:.0f} |"
        )


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """KL against CPU seconds, a line a run."""
    canvas = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = canvas.subplots()
    colours = {name: f"C{index}" for index, name in enumerate(dict.fromkeys(row["run"] for row in rows))}
    for index, row in enumerate(rows):
        first = row["run"] not in {earlier["run"] for earlier in rows[:index]}
        looks = row["looks"]
        axes.plot(
            [look["cpu_s"] for look in looks],
            [max(look["kl"], 1e-3) for look in looks],
            marker="o",
            markersize=3,
            color=colours[row["run"]],
            label=row["run"] if first else None,
        )
    axes.set(yscale="log", xlabel="CPU seconds of training, one thread", ylabel="KL(data, model), nats")
    axes.axhline(0.01, color="grey", linewidth=0.8, linestyle=":")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--configs", nargs="*", default=[])
    parser.add_argument("--peers", nargs="*", default=[], choices=list(PEERS))
    parser.add_argument("--table", action="store_true", help="only print the table and draw the figure")
    parser.add_argument("--figure", type=Path, default=RESULTS.with_suffix(".png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in [] if options.table else options.seeds:
        for name in [*options.configs, *options.peers]:
            with tempfile.TemporaryDirectory() as folder:
                looks = run_config(name, seed, folder) if name in options.configs else run_peer(name, seed)
            row = {"run": name, "seed": seed, "looks": looks, "at": time.strftime("%F %T")}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(name, seed, json.dumps(looks[-1]), flush=True)
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    table(rows)
    figure(rows, options.figure)


if __name__ == "__main__":
    main()
