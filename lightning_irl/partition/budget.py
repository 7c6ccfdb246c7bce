"""How much work estimates of log Z may take."""

from __future__ import annotations

from dataclasses import dataclass

from lightning_irl.limits import at_least


@dataclass(frozen=True)
class Budget:
    """Numbers of draws, chains and moves; with several processes, of each process.

    Attributes:
        num_samples: draws of q.
        num_chains: chains of each annealing.
        num_temperatures: of each annealing.
        leapfrog_steps: gradient evaluations of every move.
        draws_per_chain: model draws that each chain gives to the bridge.
        broad_width: standard deviation of the broad start over the event's scale; unused on a box.
        batch_size: samples evaluated at once.
        repetitions: independent repetitions of every estimate.

    Raises:
        ValueError: if a number is out of range.
    """

    num_samples: int = 4096
    num_chains: int = 256
    num_temperatures: int = 200
    leapfrog_steps: int = 4
    draws_per_chain: int = 8
    broad_width: float = 4.0
    batch_size: int = 4096
    repetitions: int = 1

    def __post_init__(self) -> None:
        at_least(1, repetitions=self.repetitions, num_samples=self.num_samples, batch_size=self.batch_size)
