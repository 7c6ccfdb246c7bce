"""What the framework costs: a view's training step, and a whole fit under Trainer, against a bare PyTorch loop.

The bare loop does the same arithmetic on the same components with the same objectives and optimizers: draws, losses,
backward passes, gradient norms and steps. Pairs are timed in turn, process CPU seconds, one thread; medians of ratios.

    python benchmarks/overhead.py            # 2-D at batch 1024, and digits at batch 128
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch.nn.utils import get_total_norm

from lightning_irl import objectives
from lightning_irl.costs import ConvCost, MLPCost
from lightning_irl.datamodules import DigitsDataModule, MemoryDataModule, ToyDataModule
from lightning_irl.samplers import FlowSampler, Sampler
from lightning_irl.views import EBM, GAN, View

CASES: dict[str, dict[str, Any]] = {
    "2-D, batch 1024": {
        "data": partial(ToyDataModule, batch_size=1024),
        "cost": MLPCost,
        "sampler": partial(FlowSampler, transforms=2),
        "batches": 100,
    },
    "digits, batch 128": {
        "data": partial(DigitsDataModule, batch_size=128),
        "cost": partial(ConvCost, widths=(24, 48)),
        "sampler": partial(FlowSampler, transforms=4, hidden=(128, 128)),
        "batches": 40,
    },
}


class TimedStep(pl.Callback):
    """CPU seconds inside the training step alone."""

    spent = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        self.started = time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        self.spent += time.process_time() - self.started


def fit(kind: Callable[..., View], case: dict[str, Any]) -> tuple[float, float]:
    """CPU milliseconds a batch: of the training step, and of the whole fit."""
    torch.manual_seed(0)
    data: MemoryDataModule = case["data"](steps_per_epoch=case["batches"])
    view, timed = kind(data.event, case["cost"], case["sampler"]), TimedStep()
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[timed],
    )
    before = time.process_time()
    trainer.fit(view, data)
    return 1e3 * timed.spent / case["batches"], 1e3 * (time.process_time() - before) / case["batches"]


def bare(kind: Callable[..., View], case: dict[str, Any]) -> float:
    """CPU milliseconds a batch of the same arithmetic in a plain loop."""
    torch.manual_seed(0)
    data: MemoryDataModule = case["data"](steps_per_epoch=case["batches"])
    cost, sampler = case["cost"](data.event), case["sampler"](data.event)
    cost_optimizer = torch.optim.Adam(cost.parameters(), lr=1e-3)
    sampler_optimizer = torch.optim.Adam(sampler.parameters(), lr=1e-3)
    demonstrations, size = data.train_set(), data.batch_size
    before = time.process_time()
    for _ in range(case["batches"]):
        demo = demonstrations.__getitems__(torch.randint(len(demonstrations), (size,)).tolist()).samples
        samples, log_q = sampler.sample(size)
        demo_cost, sample_cost = cost(torch.cat([demo, samples])).split(size)
        if kind is GAN:
            with torch.no_grad():
                demo_log_q = sampler.log_prob(demo)
            parts = demo_cost.detach(), demo_log_q, sample_cost.detach(), log_q
            log_z = objectives.optimal_log_z(*parts)
            logits = objectives.discriminator_logits
            loss = objectives.discriminator_loss(
                logits(demo_cost, demo_log_q, log_z), logits(sample_cost, log_q, log_z)
            )
        else:
            loss = objectives.maxent_cost_loss(demo_cost, objectives.importance_log_z(sample_cost, log_q))
        step(loss, cost_optimizer, list(cost.parameters()))
        cost.requires_grad_(False)
        step(sampler_loss(cost, sampler, size), sampler_optimizer, list(sampler.parameters()))
        cost.requires_grad_(True)
    spent = time.process_time() - before
    return 1e3 * spent / case["batches"]


def sampler_loss(cost: torch.nn.Module, sampler: Sampler, size: int) -> torch.Tensor:
    samples, log_q = sampler.rsample(size)
    return objectives.sampler_loss(cost(samples), log_q)


def step(loss: torch.Tensor, optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]) -> None:
    loss.backward()
    get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    optimizer.step()
    optimizer.zero_grad()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print("| case | view | bare loop, ms a batch | training step / bare | whole fit / bare |\n|---|---|---|---|---|")
    for name, case in CASES.items():
        for kind in (GAN, EBM):
            fit(kind, case), bare(kind, case)
            pairs = [(*fit(kind, case), bare(kind, case)) for _ in range(options.pairs)]
            loop = statistics.median(plain for _, _, plain in pairs)
            inner = statistics.median(stepped / plain for stepped, _, plain in pairs)
            whole = statistics.median(total / plain for _, total, plain in pairs)
            print(f"| {name} | {kind.__name__} | {loop:.1f} | {inner:.2f} | {whole:.2f} |", flush=True)


if __name__ == "__main__":
    main()
