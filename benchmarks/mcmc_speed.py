"""Samplers and the contrastive divergence step beside a plain torch loop, torchebm and ebmkit, on the same networks.

    pip install torchebm==0.8.9 ebmkit==0.16.0        # both are optional: what is not there is left out
    OMP_NUM_THREADS=1 python benchmarks/mcmc_speed.py

Runs of all peers take turns in random order, so that what else the machine does falls on all of them; each turn is one
run that is not timed and one that is, as in training a step follows its like. CPU milliseconds of the process, medians;
ratios are of medians. Every case is made anew several times, for where a network's weights lie in memory changes a step
by a percent; the error is from these.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from lightning_irl.costs import Cost
from lightning_irl.mcmc import HMC, Chains, Kernel, Langevin
from lightning_irl.samplers import BroadSampler
from lightning_irl.spaces.event import make_event
from lightning_irl.views import EBM
from lightning_irl.views.modules import frozen, trainable

try:
    import ebm as ebmkit
except ImportError:
    ebmkit = None
try:
    import torchebm
    from torchebm.core import BaseModel
    from torchebm.losses import ContrastiveDivergence
    from torchebm.samplers import HamiltonianMonteCarlo, LangevinDynamics
except ImportError:
    torchebm, BaseModel = None, nn.Module

STEP = 0.01
LEAPFROGS = 10


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))


def convolutions() -> nn.Module:
    sizes = [(1, 16, 5, 4), (16, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)]
    layers = [layer for i, o, k, p in sizes for layer in (nn.Conv2d(i, o, k, stride=2, padding=p), nn.SiLU())]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 64), nn.SiLU(), nn.Linear(64, 1))


CASES = {"2-128-128-1": ((2,), perceptron), "conv 1x28x28": ((1, 28, 28), convolutions)}


class PeerEnergy(BaseModel):  # type: ignore[misc,valid-type]
    """The network as every peer wants it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *_: object) -> Tensor:
        return self.network(x).squeeze(-1)


class NetworkCost(Cost):
    """The same as a cost."""

    def __init__(self, event: dict, network: nn.Module) -> None:
        super().__init__(event)
        self.network = network

    def forward(self, samples: Tensor) -> Tensor:
        return self.network(samples).squeeze(-1)


def plain_langevin(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(network(x).sum(), x)
        x = x.detach() - STEP * gradient + (2 * STEP) ** 0.5 * torch.randn_like(x)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return x


def plain_hmc(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    """The textbook's loop: leapfrogs, kinetic energy over all axes, acceptance."""

    def at(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_(True)
        value = network(x).squeeze(-1)
        return value.detach(), torch.autograd.grad(value.sum(), x)[0]

    for parameter in network.parameters():
        parameter.requires_grad_(False)
    value, gradient = at(x)
    for _ in range(steps):
        momentum = torch.randn_like(x)
        start = value + 0.5 * momentum.square().flatten(1).sum(-1)
        there, slope = x, gradient
        momentum = momentum - 0.5 * STEP * slope
        for leapfrog in range(LEAPFROGS):
            there = there + STEP * momentum
            new, slope = at(there)
            momentum = momentum - (STEP if leapfrog + 1 < LEAPFROGS else 0.5 * STEP) * slope
        end = new + 0.5 * momentum.square().flatten(1).sum(-1)
        accepted = torch.rand_like(end) < torch.exp((start - end).clamp(max=0))
        keep = accepted.view(-1, *[1] * (x.dim() - 1))
        x, gradient, value = (
            torch.where(keep, there, x),
            torch.where(keep, slope, gradient),
            torch.where(accepted, new, value),
        )
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return x


def sampling(label: str, batch: int, kind: str) -> dict[str, Callable[[], object]]:
    """Peers' runs of one case."""
    shape, make = CASES[label]
    network, x = make(), torch.randn(batch, *shape)
    energy = PeerEnergy(network)

    def potential(x: Tensor) -> Tensor:
        return network(x).squeeze(-1)

    def held(kernel: Kernel, steps: int) -> object:
        with frozen(trainable(network)):  # as the views do, and the plain loop
            return kernel.run(x, potential, steps, STEP)

    if kind == "Langevin":
        steps = 100 if len(shape) == 1 else 20 if batch == 64 else 4
        runs = {
            "ours": lambda: held(Langevin(STEP), steps),
            "plain loop": lambda: plain_langevin(network, x, steps),
        }
        if torchebm:
            theirs = LangevinDynamics(model=energy, step_size=STEP, noise_scale=1.0)
            runs["torchebm"] = lambda: theirs.sample(x=x.clone(), n_steps=steps)
        if ebmkit:
            other = ebmkit.LangevinDynamics(step_size=STEP, steps=steps)
            runs["ebmkit"] = lambda: other.sample(energy, x.clone())
        return runs
    steps = 20 if len(shape) == 1 else 2 if batch == 64 else 1
    kernel = HMC(STEP, leapfrog_steps=LEAPFROGS)
    runs = {
        "ours": lambda: held(kernel, steps),
        "plain loop": lambda: plain_hmc(network, x, steps),
    }
    if torchebm:
        # 0.8.9 sums the kinetic energy over the last axis only, so that images fail: flat ones are given to it
        flat = PeerEnergy(nn.Sequential(nn.Unflatten(1, shape), network)) if len(shape) > 1 else energy
        theirs = HamiltonianMonteCarlo(model=flat, step_size=STEP, n_leapfrog_steps=LEAPFROGS)
        runs["torchebm"] = lambda: theirs.sample(x=x.flatten(1).clone(), n_steps=steps)
    if ebmkit:
        other = ebmkit.HMC(step_size=STEP, leapfrog_steps=LEAPFROGS, steps=steps)
        runs["ebmkit"] = lambda: other.sample(energy, x.clone())
    return runs


def training(label: str, batch: int, persistent: bool, steps: int = 10) -> dict[str, Callable[[], object]]:
    """Peers' contrastive divergence steps of one case, with Adam."""
    shape, make = CASES[label]
    data = torch.randn(4096, *shape) * 0.5
    event = make_event("point" if len(shape) == 1 else "image", shape)
    view = EBM(
        event,
        cost=lambda event: NetworkCost(event, make()),
        sampler=BroadSampler,
        negative_phase="mcmc",
        chains=lambda event: Chains(
            event,
            Langevin(STEP),
            steps=steps,
            start="persistent" if persistent else "demonstrations",
            buffer_size=8192,
            restart_from="noise",
        ),
        sampler_steps=0,
    )
    view.log = lambda *_, **__: None  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(view.cost.parameters(), lr=1e-4)

    def descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def ours() -> None:
        # as EBM.train_pair: chains that do not start at draws of the sampler leave it alone
        descend(view.cost_loss(data[torch.randint(len(data), (batch,))], data[:0], None), optimizer)

    runs: dict[str, Callable[[], object]] = {"ours": ours}
    if torchebm:
        energy = PeerEnergy(make())
        adam = torch.optim.Adam(energy.parameters(), lr=1e-4)
        loss_of = ContrastiveDivergence(
            model=energy,
            sampler=LangevinDynamics(model=energy, step_size=STEP, noise_scale=1.0),
            k_steps=steps,
            persistent=persistent,
            **({"init_steps": 0} if persistent else {}),
        )
        runs["torchebm"] = lambda: descend(loss_of(data[torch.randint(len(data), (batch,))])[0], adam)
    if ebmkit:
        other = PeerEnergy(make())
        chains = ebmkit.LangevinDynamics(step_size=STEP, steps=steps)
        buffer = ebmkit.ReplayBuffer(8192, shape) if persistent else None
        theirs = ebmkit.ContrastiveDivergence(chains, buffer=buffer)
        their_adam = torch.optim.Adam([*other.parameters(), *theirs.parameters()], lr=1e-4)
        runs["ebmkit"] = lambda: descend(theirs(other, data[torch.randint(len(data), (batch,))]).loss, their_adam)
    return runs


# Of each peer: CPU milliseconds, ours in units of it, the standard error of that.
Found = dict[str, tuple[float, float, float]]


def measure(make: Callable[[], dict[str, Callable[[], object]]], seconds: float, places: int) -> Found:
    """Each run's median, in turns for about so many seconds; the error is that of the mean of each
    place's own ratio.
    """
    times: list[dict[str, list[float]]] = []
    for _ in range(places):
        runs = list(make().items())
        times.append({name: [] for name, _ in runs})
        end, rounds = time.perf_counter() + seconds / places, 0
        while time.perf_counter() < end or rounds < 2:
            rounds += 1
            random.shuffle(runs)
            for name, run in runs:
                run()
                start = time.process_time()
                run()
                times[-1][name].append(time.process_time() - start)
    found, median = {}, statistics.median
    ours = median(value for row in times for value in row["ours"])
    for name in times[0]:
        theirs = median(value for row in times for value in row[name])
        ratios = [median(row["ours"]) / median(row[name]) for row in times]
        found[name] = 1e3 * theirs, ours / theirs, statistics.stdev(ratios) / places**0.5
    return found


def all_cases() -> dict[str, Callable[[], dict[str, Callable[[], object]]]]:
    """What makes each case's runs, by name."""
    found: dict[str, Callable[[], dict[str, Callable[[], object]]]] = {
        f"{kind}, {label}, batch {batch}": partial(sampling, label, batch, kind)
        for label in CASES
        for batch in (64, 1024)
        for kind in ("Langevin", "HMC")
    }
    for label, batch in (("2-128-128-1", 256), ("conv 1x28x28", 64)):
        for persistent in (False, True):
            found[f"{'P' * persistent}CD-10 step, {label}, batch {batch}"] = partial(training, label, batch, persistent)
    return found


def main() -> None:
    cases = all_cases()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case")
    parser.add_argument("--places", type=int, default=8, help="times that each case is made anew, at least 2")
    parser.add_argument("--cases", nargs="+", choices=list(cases), default=list(cases))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| case | ours, ms | plain loop | torchebm | ebmkit |\n|---|---|---|---|---|")
    for name in options.cases:
        found = measure(cases[name], options.seconds, options.places)
        cells = [
            "{:.1f} ({:.3f} +- {:.3f})".format(*found[peer]) if peer in found else ""
            for peer in ("plain loop", "torchebm", "ebmkit")
        ]
        print(f"| {name} | {found['ours'][0]:.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
