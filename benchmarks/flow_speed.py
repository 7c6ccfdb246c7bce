"""The multi-scale flow beside the same flow with zuko's splines and affine transforms, on the same weights.

    OMP_NUM_THREADS=1 python benchmarks/flow_speed.py

Both take turns in random order; CPU milliseconds of the process, medians, and ratios of them. Images are of 1 x 28 x 28; the flow is that of
benchmarks/fashion (`--bins 4`) with as many steps. What the two make of the same images is compared first.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu
from zuko.transforms import ComposedTransform, MonotonicAffineTransform, MonotonicRQSTransform

from lightning_irl.event import make_event
from lightning_irl.samplers import MultiscaleFlow
from lightning_irl.samplers.multiscale import SPLINE_BOUND


def couple_by_zuko(self: Any, image: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """What a coupling does, as zuko writes it: the parameters of each pixel last, two passes for an inverse with its density."""
    kept, changed = image[:, self.halves].chunk(2, 1)
    network = self.conditioner
    found = network.first(kept) + network.place
    for block in network.blocks:
        found = found + block(found)
    found = network.last(silu(found)).unflatten(1, (-1, self.parameters_each)).movedim(2, -1)
    widths, heights, slopes = found[..., 2:].split([self.bins, self.bins, self.bins - 1], -1)
    transform: Any = ComposedTransform(
        MonotonicAffineTransform(found[..., 0], found[..., 1]),
        MonotonicRQSTransform(widths, heights, slopes, bound=SPLINE_BOUND),
    )
    changed, log_det = (transform.inv if inverse else transform).call_and_ladj(changed)
    return torch.cat([kept, changed], 1)[:, self.order], log_det.flatten(1).sum(1)


def flows(bins: int) -> dict[str, MultiscaleFlow]:
    made = {}
    event = make_event("image", [1, 28, 28], support="box", location=[0.3], scale=[0.3])
    for name in ("ours", "zuko"):
        torch.manual_seed(0)
        made[name] = MultiscaleFlow(event, steps=[2, 3], hidden=[24, 48], bins=bins)
    for module in made["zuko"].modules():
        if hasattr(module, "parameters_each"):
            module.forward = MethodType(couple_by_zuko, module)  # type: ignore[method-assign]
    return made


def work(flow: MultiscaleFlow, base: Tensor, images: Tensor) -> dict[str, Callable[[], object]]:
    """What training, chains and reports ask of a flow."""

    def train() -> None:
        flow.zero_grad()
        (-flow.log_prob(images).mean()).backward()

    def gradient_in_the_base() -> None:
        flow.requires_grad_(False)
        position = base.clone().requires_grad_()
        samples, log_det = flow.from_base(position)
        torch.autograd.grad(samples.sum() + log_det.sum(), position)
        flow.requires_grad_(True)

    return {
        "draw with density": torch.no_grad()(partial(flow.from_base, base)),
        "density": torch.no_grad()(partial(flow.log_prob, images)),
        "likelihood step": train,
        "gradient in the base": gradient_in_the_base,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 1024])
    parser.add_argument("--bins", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    options = parser.parse_args()
    made = flows(options.bins)
    print("| work | batch | ours, ms | zuko's, ms | ours over zuko's |")
    print("|---|---|---|---|---|")
    for batch in options.batches:
        torch.manual_seed(batch)
        base = torch.randn(batch, 784)
        with torch.no_grad():
            (images, _), (theirs, _) = (made[name].from_base(base) for name in ("ours", "zuko"))
            density, their_density = (made[name].log_prob(images) for name in ("ours", "zuko"))
        assert torch.allclose(images, theirs, atol=1e-4), "the flows differ"
        assert torch.allclose(density, their_density, rtol=1e-5), "the flows differ"
        runs = {name: work(flow, base, images) for name, flow in made.items()}
        for label in runs["ours"]:
            times: dict[str, list[float]] = {name: [] for name in runs}
            end = time.monotonic() + options.seconds
            while time.monotonic() < end or len(times["ours"]) < 3:
                for name in random.sample(sorted(runs), len(runs)):
                    runs[name][label]()
                    start = time.process_time()
                    runs[name][label]()
                    times[name].append(1e3 * (time.process_time() - start))
            ours, theirs_ms = (statistics.median(times[name]) for name in ("ours", "zuko"))
            print(f"| {label} | {batch} | {ours:.1f} | {theirs_ms:.1f} | {ours / theirs_ms:.2f} |", flush=True)


if __name__ == "__main__":
    main()
