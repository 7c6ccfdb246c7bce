"""Demonstrations that fit in memory: batches are cut from tensors, whole batches at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lightning_irl.datamodules.base import DemonstrationsDataModule
from lightning_irl.limits import at_least
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.samples import Samples, count, each, select
from lightning_irl.spaces.served import Splits


class TensorDemonstrations(Dataset[Batch]):
    """Demonstrations in tensors, fetched a whole batch at a time."""

    is_random = False

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return count(self.samples)

    def __getitem__(self, index: int) -> Batch:
        batch = self.__getitems__([index])
        return Batch(each(lambda part: part[0], batch.samples), batch.log_det[0])

    def __getitems__(self, indices: list[int]) -> Batch:
        return Batch(select(self.samples, torch.tensor(indices)), torch.zeros(len(indices)))


class EpochSampler(DistributedSampler[Batch]):
    """An order that is a function of (seed, epoch): one permutation after another, shared by all processes.

    So an epoch has ``num_batches`` batches, whatever the size of the data. The sampler yields tickets, permutation *
    size + index, for :class:`Shuffled`.

    Args:
        size: of the data.
        batch_size: demonstrations in a batch, over all processes. Their shares differ by one at most; if a batch has
            fewer demonstrations than there are processes, every process has all of it.
        num_batches: in an epoch.
        seed: of the order.
        num_replicas: number of processes.
        rank: of this process.

    Attributes:
        share: demonstrations of a batch on this process.
    """

    def __init__(
        self, size: int, batch_size: int, num_batches: int, seed: int, num_replicas: int = 1, rank: int = 0
    ) -> None:
        self.size, self.batch_size, self.num_batches = size, batch_size, num_batches
        self.seed, self.epoch = seed, 0
        self.num_replicas, self.rank = (num_replicas, rank) if batch_size >= num_replicas else (1, 0)
        self.start = 0  # samples of this process to skip at the start of the order
        self.share = len(range(self.rank, batch_size, self.num_replicas))

    def __len__(self) -> int:
        return self.num_batches * self.share

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        needed = self.num_batches * self.batch_size
        rounds = -(-needed // self.size)
        every = [torch.randperm(self.size, generator=generator) for _ in range(rounds)]
        order = torch.cat([part + (self.epoch * rounds + k) * self.size for k, part in enumerate(every)])[:needed]
        return iter(order.view(-1, self.batch_size)[:, self.rank :: self.num_replicas].flatten()[self.start :].tolist())


class EpochLoader(DataLoader[Batch]):
    """A loader over :class:`EpochSampler` that resumes within an epoch; Lightning checkpoints its state."""

    served = 0  # batches of the current epoch
    _start = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self.served, self._start = self._start, 0  # an epoch is resumed once
        if isinstance(self.sampler, EpochSampler):
            self.sampler.start = self.served * (self.batch_size or 1)
        return self._count(super().__iter__())

    def _count(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The current epoch and how many of its batches were served."""
        return {"served": self.served, "epoch": getattr(self.sampler, "epoch", 0)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume that epoch after the batches that were served."""
        self._start = state["served"]
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(state["epoch"])  # Lightning's own comes after workers have begun


class Shuffled(Dataset[Batch]):
    """Serves a dataset by the tickets of :class:`EpochSampler`.

    What is random in a batch (noise, augmentation) is a function of the seed and of the batch's first ticket: the same
    for any number of workers, and in a run that was interrupted.

    Args:
        dataset: fetched a whole batch at a time by ``__getitems__``; random unless its ``is_random`` is false.
        seed: of the randomness.
    """

    def __init__(self, dataset: Dataset[Batch], seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self.is_random: bool = getattr(dataset, "is_random", True)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, ticket: int) -> Batch:
        batch = self.__getitems__([ticket])
        return Batch(each(lambda part: part[0], batch.samples), batch.log_det[0])

    def __getitems__(self, tickets: list[int]) -> Batch:
        size = len(self)
        indices = [ticket % size for ticket in tickets]
        if not self.is_random:
            return self.dataset.__getitems__(indices)  # type: ignore[attr-defined,no-any-return]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed * 1_000_003 + tickets[0]) * 2_654_435_761 % 2**63)
            return self.dataset.__getitems__(indices)  # type: ignore[attr-defined,no-any-return]


class PartSampler(DistributedSampler[Batch]):
    """Data in order, dealt out to the processes in turn: none is seen twice, and shares differ by one at most.

    With fewer samples than processes, each process sees all: Lightning runs nothing on a process without a batch, and
    collectives of the others would wait for it. Means over all processes are the same.
    """

    def __init__(self, size: int, num_replicas: int, rank: int) -> None:
        self.seen, self.epoch = range(rank, size, num_replicas) if size >= num_replicas else range(size), 0

    def __len__(self) -> int:
        return len(self.seen)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.seen)


def _as_fetched(batch: Any) -> Any:
    return batch


def _size(samples: Any) -> int:
    """How many demonstrations a part has; a part may be files that are read when they are served."""
    return count(samples) if isinstance(samples, (Tensor, tuple)) else len(samples)


class MemoryDataModule(DemonstrationsDataModule):
    """Serves demonstrations that fit in memory; subclasses hand over the three parts and the event.

    Args:
        event: what one sample looks like, as served.
        splits: training, validation and test parts.
        batch_size: demonstrations in a batch, over all processes: shares that differ by one at most, or all of it in
            each process where there are more processes. By default all training demonstrations.
        steps_per_epoch: batches in an epoch, which are rounds of IRL; by default one pass over the training part.
        seed: of the order in which the training part is served, and of what is random in any part.

    Attributes:
        num_workers: worker processes; none by default, as they only slow down data in memory.
        pin_memory: whether batches are in page-locked memory.

    Raises:
        ValueError: if a batch is larger than the training part, or the data holds NaN or Inf.
    """

    splits: Splits
    steps_per_epoch: int
    num_workers = 0
    pin_memory = False

    def __init__(
        self,
        event: Event,
        splits: Splits,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(event)
        at_least(1, steps_per_epoch=steps_per_epoch)
        size = _size(splits.train)
        batch_size = size if batch_size is None else batch_size
        if not 0 < batch_size <= size:
            raise ValueError(
                f"batch_size is {batch_size}, but there are {size} training demonstrations; "
                "it must be between 1 and that"
            )
        for name, part in splits._asdict().items():
            if not isinstance(part, Tensor):
                continue  # trajectories and files are checked when they are read, where the step or file can be named
            bad = int((~torch.isfinite(part)).flatten(1).any(1).sum()) if part.is_floating_point() else 0
            if bad:
                raise ValueError(f"{bad} of {len(part)} demonstrations for {name} hold NaN or Inf; remove or fix them")
            if list(part.shape[1:]) != event["shape"]:
                raise ValueError(f"{name} samples have shape {list(part.shape[1:])}, the event says {event['shape']}")
        self.splits = splits
        self.batch_size, self.seed = batch_size, seed
        self.steps_per_epoch = steps_per_epoch or size // batch_size

    def train_set(self) -> Dataset[Batch]:
        """What is served in training."""
        return TensorDemonstrations(self.splits.train)

    def val_set(self) -> Dataset[Batch]:
        """What is served in validation."""
        return TensorDemonstrations(self.splits.val)

    def test_set(self) -> Dataset[Batch]:
        """What is served in tests and predictions."""
        return TensorDemonstrations(self.splits.test)

    def train_dataloader(self) -> DataLoader[Batch]:
        replicas, rank = self._place()
        order = EpochSampler(_size(self.splits.train), self.batch_size, self.steps_per_epoch, self.seed, replicas, rank)
        return EpochLoader(
            Shuffled(self.train_set(), self.seed),
            batch_size=order.share,
            sampler=order,
            collate_fn=_as_fetched,
            drop_last=True,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            # for workers; randomness in training comes from the process's generator, which a checkpoint restores
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(self.val_set())

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(self.test_set())

    def predict_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(self.test_set())

    def _place(self) -> tuple[int, int]:
        """How many processes share the data, and which this one is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _in_order(self, demonstrations: Dataset[Batch]) -> DataLoader[Batch]:
        replicas, rank = self._place()
        return DataLoader(
            demonstrations,
            batch_size=self.batch_size,
            sampler=PartSampler(len(demonstrations), replicas, rank) if replicas > 1 else None,  # type: ignore[arg-type]
            collate_fn=_as_fetched,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),
        )
