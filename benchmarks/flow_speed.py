"""Flows beside the same flows with zuko's transforms, on the same weights.

    OMP_NUM_THREADS=1 python benchmarks/flow_speed.py

Both take turns in random order; CPU milliseconds of the process, medians, and ratios of them. What the two make of the
same draws is compared first.
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
from zuko.flows import MaskedAutoregressiveTransform
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.transforms import ComposedTransform, MonotonicAffineTransform, MonotonicRQSTransform

from lightning_irl.samplers import FlowSampler, MultiscaleFlow
from lightning_irl.samplers.multiscale import SPLINE_BOUND
from lightning_irl.samplers.one_pass import AutoregressiveLayer, CouplingLayer
from lightning_irl.samplers.transport import Transport
from lightning_irl.spaces.event import make_event

IMAGE = partial(make_event, "image", support="box", location=[0.3], scale=[0.3])
CASES: dict[str, tuple[Callable[[], Transport], tuple[int, ...]]] = {
    "FlowSampler, 2-D, autoregressive": (lambda: FlowSampler(make_event("point", [2])), (512,)),
    "FlowSampler, 1x8x8, coupling": (lambda: FlowSampler(IMAGE([1, 8, 8])), (128,)),
    "MultiscaleFlow, 1x28x28": (
        lambda: MultiscaleFlow(IMAGE([1, 28, 28]), steps=[2, 3], hidden=[24, 48], bins=4),
        (64, 1024),
    ),
}


def couple_by_zuko(self: Any, image: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """What a coupling of images does, as zuko writes it: the parameters of each pixel last."""
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


def by_zuko(flow: Transport) -> Transport:
    """The same flow with zuko's transforms in place of ours."""
    for module in flow.modules():
        if hasattr(module, "parameters_each"):
            module.forward = MethodType(couple_by_zuko, module)  # type: ignore[method-assign]
        if isinstance(module, CouplingLayer | AutoregressiveLayer):
            module.univariate = partial(MonotonicRQSTransform, **module.univariate.keywords)
            theirs = GeneralCouplingTransform if isinstance(module, CouplingLayer) else MaskedAutoregressiveTransform
            module.forward = MethodType(theirs.forward, module)  # type: ignore[method-assign]
    return flow


def work(flow: Transport, base: Tensor, samples: Tensor) -> dict[str, Callable[[], object]]:
    """What views, chains and reports ask of a flow."""

    def likelihood_step() -> None:
        flow.zero_grad()
        (-flow.log_prob(samples).mean()).backward()

    def draw_step() -> None:
        flow.zero_grad()
        draws, log_det = flow.from_base(base)
        (draws.square().mean() - log_det.mean()).backward()

    def gradient_in_the_base() -> None:
        flow.requires_grad_(False)
        position = base.clone().requires_grad_()
        draws, log_det = flow.from_base(position)
        torch.autograd.grad(draws.sum() + log_det.sum(), position)
        flow.requires_grad_(True)

    return {
        "draw with density": torch.no_grad()(partial(flow.from_base, base)),
        "density": torch.no_grad()(partial(flow.log_prob, samples)),
        "step by likelihood": likelihood_step,
        "step through draws": draw_step,
        "gradient in the base": gradient_in_the_base,
    }


def compare(label: str, make: Callable[[], Transport], batch: int, seconds: float) -> None:
    """Print the rows of one flow and batch."""
    made = {}
    for name in ("ours", "zuko"):
        torch.manual_seed(0)
        made[name] = make()
    by_zuko(made["zuko"])
    base = torch.randn(batch, made["ours"].dimension)
    with torch.no_grad():
        (samples, log_det), (theirs, their_log_det) = (flow.from_base(base) for flow in made.values())
    assert torch.allclose(samples, theirs, atol=1e-4), "the flows differ"
    assert torch.allclose(log_det, their_log_det, rtol=1e-4, atol=1e-3), "the flows differ"
    runs = {name: work(flow, base, samples) for name, flow in made.items()}
    for task in runs["ours"]:
        times: dict[str, list[float]] = {name: [] for name in runs}
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(times["ours"]) < 3:
            for name in random.sample(sorted(runs), len(runs)):
                runs[name][task]()
                start = time.process_time()
                runs[name][task]()
                times[name].append(1e3 * (time.process_time() - start))
        ours, zukos = (statistics.median(times[name]) for name in ("ours", "zuko"))
        print(f"| {label} | {batch} | {task} | {ours:.1f} | {zukos:.1f} | {ours / zukos:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6, help="of each row")
    options = parser.parse_args()
    print("| flow | batch | work | ours, ms | zuko's, ms | ours over zuko's |")
    print("|---|---|---|---|---|---|")
    for label, (make, batches) in CASES.items():
        for batch in batches:
            compare(label, make, batch, options.seconds)


if __name__ == "__main__":
    main()
