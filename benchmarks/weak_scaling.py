"""Samples a second of two processes that train together, beside two that know nothing of each other, on the same cores.

    chrt --batch 0 python benchmarks/weak_scaling.py            # about 20 minutes on 2 free cores

Weak scaling: each process has as many demonstrations, draws and episodes in a batch as a process alone. What is lost is
the exchange of per-sample values and of gradients, and waiting for the slower one. Both kinds run in turn, three times;
the table has medians. Rates are those of the time in which both processes train, after their first batches. The last
column is what two processes would come to that lost nothing but were both as slow as the slower of the two apart. All
of it under Linux's scheduling for batch work (``chrt``), or else an exchange of a few bytes, which takes 0.2 ms, often
waits for the 4 ms slice of what computes on its core.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch

from lightning_irl.callbacks import Termination
from lightning_irl.costs import ConvCost, MLPStepCost, TiltedCost, TrajectoryCost
from lightning_irl.datamodules import DigitsDataModule
from lightning_irl.datamodules.memory import MemoryDataModule, Splits
from lightning_irl.environments import CartPole, Pendulum
from lightning_irl.learners import PPO, Learner, ScoreFunction
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy
from lightning_irl.samplers import FlowSampler, PolicySampler
from lightning_irl.spaces.event import Event, make_trajectory_event
from lightning_irl.views import EBM, IRL, View

PROCESSES, SKIPPED = 2, 4


def image_ebm(size: int) -> tuple[View, MemoryDataModule]:
    data = DigitsDataModule(batch_size=size)
    cost = partial(TiltedCost, cost=partial(ConvCost, widths=[32, 64]))
    flow = partial(FlowSampler, transforms=3, hidden=[64, 64])
    return EBM(data.event, cost, flow, negative_phase="mixture"), data


def batched_irl(size: int) -> tuple[View, MemoryDataModule]:
    event = make_trajectory_event(100, [4], num_actions=2, absorbing=True)
    policy = partial(PolicySampler, environment=CartPole(), policy=CategoricalPolicy)
    cost = partial(TrajectoryCost, step_cost=MLPStepCost)
    view = IRL(event, cost, policy, learner=PPO, level="transition", num_samples=size)
    whole = view.sampler.sample(2 * size)[0]
    return view, MemoryDataModule(event, Splits(whole, whole, whole), batch_size=size)


def pendulum(size: int, learner: Callable[[Event], Learner] = PPO) -> tuple[View, MemoryDataModule]:
    """The pair of configs/irl/pendulum.yaml."""
    event = make_trajectory_event(200, [3], action_shape=[1], action_low=[-2], action_high=[2])
    policy = partial(PolicySampler, environment=Pendulum(), policy=ClippedGaussianPolicy)
    cost = partial(TrajectoryCost, step_cost=MLPStepCost)
    view = IRL(event, cost, policy, learner=learner, objective="guided_cost", num_samples=size, cost_steps=2)
    whole = view.sampler.sample(size)[0]
    return view, MemoryDataModule(event, Splits(whole, whole, whole), batch_size=size)


CASES = {
    "image EBM, 64 digits and draws a process": (image_ebm, 64, 100),
    "image EBM, 128": (image_ebm, 128, 80),
    "IRL of CartPole, 32 episodes": (batched_irl, 32, 100),
    "IRL of CartPole, 256 episodes": (batched_irl, 256, 60),
    "IRL of Pendulum, 128 episodes": (pendulum, 128, 40),
    "IRL of Pendulum, 512": (pendulum, 512, 16),
    "IRL of Pendulum, 512, by the score function": (partial(pendulum, learner=ScoreFunction), 512, 24),
}


class Clock(pl.Callback):
    """When the batches ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.time())


def work(case: str) -> None:
    """Train; print the samples a second of this process."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    make, size, batches = CASES[case]
    view, data = make(size * world)
    data.steps_per_epoch = batches
    clock = Clock()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[clock, Termination()],
    )
    trainer.fit(view, data)
    print(f"size {size} ended {clock.times[SKIPPED:]}", flush=True)


def together(case: str) -> list[float]:
    """Samples a second of each of the processes that train one pair."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(PROCESSES)]
    return rates([start], case)


def apart(case: str) -> list[float]:
    """Samples a second of each of as many processes that train their own."""
    return rates([[sys.executable]] * PROCESSES, case)


def rates(starts: list[list[str]], case: str) -> list[float]:
    runs = [
        subprocess.Popen(
            [*start, __file__, "--work", case],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for start in starts
    ]
    found = re.findall(r"size (\d+) ended \[(.*?)\]", "".join(run.communicate()[0] for run in runs))
    assert len(found) == PROCESSES, "a process failed"
    sizes, ends = [int(size) for size, _ in found], [[float(end) for end in row.split(",")] for _, row in found]
    first, last = max(row[0] for row in ends), min(row[-1] for row in ends)
    shared = [[end for end in row if first <= end <= last] for row in ends]
    return [size * (len(row) - 1) / (row[-1] - row[0]) for size, row in zip(sizes, shared, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    if options.work:
        work(options.work)
        return
    print(
        "| case | two apart, samples/s | two together, samples/s | ratio | each | of the slower one "
        "|\n|---|---|---|---|---|---|"
    )
    median = statistics.median
    for case in options.cases:
        found = [(apart(case), together(case)) for _ in range(options.repetitions)]
        first, second = (median(sum(one) for one in kind) for kind in zip(*found, strict=True))
        ratios = [sum(pair) / sum(alone) for alone, pair in found]
        slower = median(PROCESSES * min(alone) / sum(alone) for alone, _ in found)
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {case} | {first:.0f} | {second:.0f} | {median(ratios):.2f} | {each} | {slower:.2f} |", flush=True)


if __name__ == "__main__":
    main()
