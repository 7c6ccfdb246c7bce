"""Chains at the model that give a cost its negative samples."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_irl.costs.energy import CostFunction, as_energy
from lightning_irl.mcmc.hmc import HMC
from lightning_irl.mcmc.kernel import Kernel, broadcast
from lightning_irl.mcmc.target import BaseTarget, SampleTarget, Target
from lightning_irl.processes import gather
from lightning_irl.samplers.base import Sampler
from lightning_irl.samplers.broad import BroadSampler
from lightning_irl.samplers.transport import Transport
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.space import space_of

STARTS = ("persistent", "demonstrations", "sampler", "noise")
COORDINATES = ("sample", "base")
ADAPT_RATE = 0.1  # change of the log step size over the distance of the acceptance from its target
LOOK_EVERY = 50  # runs between two in which the acceptance of a kernel without a correction is measured


class Chains(nn.Module):
    r"""Short runs of a Markov kernel at the model, from a given start.

    - ``demonstrations``: contrastive divergence (Hinton 2002);
    - ``persistent``: from where earlier runs ended, kept in a buffer (Tieleman 2008); a share of them restarts;
    - ``sampler``: from draws of q (cooperative learning, Xie and others 2018, arXiv 1609.09408, where these chains
      teach q);
    - ``noise``: from a broad distribution (Nijkamp and others 2019, arXiv 1903.12370).

    A kernel with a target acceptance has its step size adapted from run to run. The cost's parameters are held
    constant. Kept chains belong to their process: they are no registered buffer, because those are copied from one
    process to the others. The buffer fills with the ends of the first runs, which all start anew.

    Args:
        event: what one sample looks like.
        kernel: how chains move; by default :class:`~lightning_irl.mcmc.hmc.HMC`.
        steps: moves of a run.
        start: where runs start.
        buffer_size: chains that are kept, of each process; for ``persistent``.
        restart_share: share of a run's chains that start anew; for ``persistent``.
        restart_from: where these start: ``sampler``, ``demonstrations`` or ``noise``.
        coordinates: ``sample``: the sample's own, on a box through a sigmoid; ``base``: the base of a flow, the frozen
            one that the cost is relative to if there is one, else the sampler.
        energy_bound: largest c/T, in absolute value, that a chain may end at; beyond it training stops.

    Attributes:
        step_size: of the next run, a scalar.
        acceptance: of the last run in which it was measured, a scalar.

    Raises:
        ValueError: if an option is not allowed.
    """

    step_size: Tensor
    acceptance: Tensor
    good: Tensor

    def __init__(
        self,
        event: Event,
        kernel: Kernel | None = None,
        steps: int = 20,
        start: Literal["persistent", "demonstrations", "sampler", "noise"] = "persistent",
        buffer_size: int = 4096,
        restart_share: float = 0.05,
        restart_from: Literal["sampler", "demonstrations", "noise"] = "sampler",
        coordinates: Literal["sample", "base"] = "sample",
        energy_bound: float = 1e6,
    ) -> None:
        super().__init__()
        space = space_of(event)
        if space.has_steps:
            raise ValueError("chains move on points and images, these are trajectories: use negative_phase=importance")
        space.require_continuous("a chain")
        allowed = {
            "start": (start, STARTS),
            "restart_from": (restart_from, STARTS[1:]),
            "coordinates": (coordinates, COORDINATES),
        }
        for name, (given, values) in allowed.items():
            if given not in values:
                raise ValueError(f"chains: {name} is {given!r}; allowed: {', '.join(values)}")
        if steps < 1 or buffer_size < 1 or not 0 <= restart_share <= 1 or energy_bound <= 0:
            raise ValueError(
                f"chains: steps is {steps}, buffer_size {buffer_size}, restart_share {restart_share}, energy_bound "
                f"{energy_bound}; "
                "steps and buffer_size are at least 1, restart_share from 0 to 1, energy_bound above 0"
            )
        self.event, self.kernel, self.steps, self.start = event, kernel or HMC(), steps, start
        self.buffer_size, self.restart_share, self.restart_from = buffer_size, restart_share, restart_from
        self.coordinates, self.energy_bound = coordinates, energy_bound
        self.noise = BroadSampler(event)
        self.kept: Tensor | None = None
        self._runs = 0
        self._is_noted = False  # whether the last run changed step size or acceptance
        self.register_buffer("step_size", torch.tensor(float(self.kernel.step_size)))
        self.register_buffer("acceptance", torch.tensor(torch.nan))
        self.register_buffer("good", torch.tensor([self.kernel.step_size, torch.nan]), persistent=False)

    @property
    def needs_draws(self) -> bool:
        """Whether runs start at draws of the view's sampler, all or some."""
        return "sampler" in (self.start, *([self.restart_from] if self.start == "persistent" else []))

    def forward(
        self,
        cost: CostFunction,
        sampler: Sampler,
        demonstrations: Tensor,
        draws: Tensor,
        num_chains: int | None = None,
    ) -> Tensor:
        """Run chains at exp(-c).

        Args:
            cost: samples (B, *shape) -> (B,), already divided by the temperature, in nats; differentiable and
                deterministic.
            sampler: the flow whose base gives the coordinates, if they are ``base``.
            demonstrations: (N, *shape), where a start may come from.
            draws: of the view's sampler (M, *shape), likewise.
            num_chains: M; by default the number of draws, of which there may be none where :attr:`needs_draws` is
                False.

        Returns:
            Ends of the chains (M, *shape), constant.
        """
        target = self.target(cost, sampler)
        starts, index = self._starts(demonstrations, draws, len(draws) if num_chains is None else num_chains)
        target_acceptance = self.kernel.target_acceptance
        size = self.kernel.step_size if target_acceptance is None else self.step_size
        run = Kernel.run if self._runs % LOOK_EVERY == 0 else type(self.kernel).run
        position, acceptance = run(self.kernel, target.to_position(starts), target.potential, self.steps, size)
        samples = target.to_samples(position)
        with torch.no_grad():
            self._is_noted = target_acceptance is not None or run is Kernel.run
            if self._is_noted:
                acceptance = gather(acceptance.expand(len(starts))).mean()
                self.acceptance.copy_(acceptance)
            if target_acceptance is not None:
                self.step_size.mul_(torch.exp(ADAPT_RATE * (acceptance - target_acceptance)))
            if index is not None:
                self.kept[index] = samples  # type: ignore[index]
            elif self.start == "persistent":
                self.kept = (samples if self.kept is None else torch.cat([self.kept, samples]))[: self.buffer_size]
        self._runs += 1
        return samples

    def target(self, cost: CostFunction, sampler: Sampler) -> Target:
        """exp(-c) in this module's coordinates; with ``base``, those of the flow that the cost is relative to, if there
        is one.
        """
        if self.coordinates == "sample":
            return SampleTarget(cost, self.event)
        transport = as_energy(cost).reference or sampler
        if not isinstance(transport, Transport):
            raise ValueError(
                f"chains: coordinates is base, but {type(transport).__name__} has none; use coordinates=sample, or a "
                "flow"
            )
        return BaseTarget(cost, transport)

    def _starts(self, demonstrations: Tensor, draws: Tensor, num: int) -> tuple[Tensor, Tensor | None]:
        """Where a run starts (M, *shape), and for kept chains their places in the buffer (M,)."""
        if self.start != "persistent":
            return self._fresh(self.start, demonstrations, draws, num), None
        fresh = self._fresh(self.restart_from, demonstrations, draws, num)
        if self.kept is None or len(self.kept) < max(self.buffer_size, num):
            return fresh, None  # the buffer fills
        index = torch.randperm(len(self.kept), device=draws.device)[:num]
        is_fresh = torch.rand(num, device=draws.device) < self.restart_share
        return torch.where(broadcast(is_fresh, draws), fresh, self.kept[index]), index

    def _fresh(self, source: str, demonstrations: Tensor, draws: Tensor, num: int) -> Tensor:
        """New starts (M, *shape), in any order: draws, demonstrations or noise."""
        if source == "sampler":
            return draws
        if source == "noise":
            return self.noise.draw(num).to(draws)
        if num == len(demonstrations):
            return demonstrations
        rounds = -(-num // len(demonstrations))
        places = [torch.randperm(len(demonstrations), device=draws.device) for _ in range(rounds)]
        return demonstrations[torch.cat(places)[:num]]

    @torch.no_grad()
    def note(self, cost: Tensor) -> None:
        """Keep step size and acceptance for :meth:`advice`, unless c/T at the ends (M,) says that
        chains have exploded.
        """
        if self._is_noted:
            is_good = (cost.abs() <= self.energy_bound).all()
            self.good.copy_(torch.where(is_good, torch.stack([self.step_size, self.acceptance]), self.good))

    def advice(self) -> str:
        """What to do about chains that exploded; waits for the device."""
        step_size, acceptance = self.good.tolist()
        return (
            f"Chains left c/T = +-{self.energy_bound:g} at step size {step_size:.3g}, acceptance {acceptance:.2f}: "
            "lower the step size, or "
            "target a higher acceptance (HMC, MALA), regularise the cost (EnergyMagnitude, spectral norm), or lower "
            "its learning rate"
        )

    def departures(self) -> list[str]:
        """Why these chains do not target the model itself, a line each."""
        return self.kernel.departures()

    def state(self) -> Any:
        """What a checkpoint keeps beside the registered buffers."""
        return {"kept": self.kept, "runs": self._runs}

    def restore(self, state: Any, device: torch.device) -> None:
        """Take back what :meth:`state` gave."""
        kept = state["kept"]
        self.kept, self._runs = None if kept is None else kept.to(device, copy=True), state["runs"]
