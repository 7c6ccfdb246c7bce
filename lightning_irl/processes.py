"""Gathers per-sample values over processes, so that a loss over shards of a minibatch equals that of the whole.

An expectation is a mean over the samples of all processes, and the log of a mean is not the mean of logs. So the
per-sample numbers that a loss needs are gathered first, and then every process computes the same loss with the same
function. With one process nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, reduce
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

_alone = False
_is_watching = False


def is_distributed() -> bool:
    """Whether there are several processes and this one does not work :func:`alone`."""
    return not _alone and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def alone() -> Iterator[None]:
    """Work as if there were no other process: for work of one process while the others go on or wait."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


class OtherProcessError(RuntimeError):
    """Another process failed in a joint operation; the text says which process, and why."""


@contextmanager
def failing_together() -> Iterator[None]:
    """If one process raises in this block, the others raise :class:`OtherProcessError` instead of waiting for it.

    Every exchange in the block begins with a status of each process. A process that failed sends its status and leaves;
    the others receive it at their next exchange or at the end of the block. All have then made equally many exchanges
    and can go on together.
    """
    global _is_watching
    if _is_watching or not is_distributed():
        yield
        return
    _is_watching = True
    try:
        yield
        _hear()
    except OtherProcessError:
        raise
    except Exception as error:
        with suppress(OtherProcessError):
            _hear(f"{type(error).__name__}: {error}")
        raise
    finally:
        _is_watching = False


def _hear(failure: str = "") -> None:
    """Exchange the status of all processes for :func:`failing_together`; a failure is sent as its text."""
    if not _is_watching or not is_distributed():
        return
    hosts = _hosts(dist.group.WORLD)
    some = torch.tensor(bool(failure), dtype=torch.uint8)
    dist.all_reduce(some, dist.ReduceOp.MAX, group=hosts)
    if some:
        every: list[str] = [""] * num_processes()
        dist.all_gather_object(every, failure, group=hosts)
        raise OtherProcessError("; ".join(f"process {index}: {text}" for index, text in enumerate(every) if text))


def num_processes() -> int:
    """Number of processes that work together, at least 1."""
    return dist.get_world_size() if is_distributed() else 1


def process_index() -> int:
    """Index of this process, from 0."""
    return dist.get_rank() if is_distributed() else 0


def share(total: int) -> int:
    """This process's part of a number of samples or chains; parts differ by at most one.

    Example:
        >>> share(10)
        10
    """
    whole, rest = divmod(total, num_processes())
    return whole + (process_index() < rest)


def gather(values: Tensor) -> Tensor:
    r"""Values (N_r, ...) of all processes, concatenated (sum of N_r, ...); sizes may differ.

    Differentiable, for a loss that every process computes from the same gathered values, and for gradients that are
    then averaged over processes, as in DistributedDataParallel and FSDP: a process's own values receive the loss's
    gradient times the number of processes R.

    .. math:: \frac{1}{R} \sum_r R \, \frac{\partial L}{\partial v_r} \frac{\partial v_r}{\partial \theta}
        = \frac{\partial L}{\partial \theta}

    Every process must call it equally often. Sizes are exchanged between hosts, without waiting for a device.
    """
    return gather_each(values)[0]


def gather_each(*values: Tensor) -> tuple[Tensor, ...]:
    """:func:`gather` of several tensors (N_r, ...) in one exchange; only their lengths may differ."""
    if not is_distributed():
        return values
    lengths = counts_later([len(value) for value in values])
    dtype = reduce(torch.promote_types, (value.dtype for value in values))
    together = torch.cat([value.to(dtype) for value in values])
    rows: Tensor = _Gather.apply(together, lengths, process_index())
    sizes = lengths()
    parts = [part.split(row) for part, row in zip(rows.split([sum(row) for row in sizes]), sizes, strict=True)]
    return tuple(torch.cat(pieces).to(value.dtype) for value, *pieces in zip(values, *parts, strict=True))


def counts_later(counts: list[int]) -> Callable[[], list[list[int]]]:
    """Start an exchange of numbers between hosts; the returned function waits and gives every process's, in order."""
    if not is_distributed():
        return lambda: [counts]
    _hear()
    own = torch.tensor(counts)
    every = [torch.empty_like(own) for _ in range(num_processes())]
    work = dist.all_gather(every, own, group=_hosts(dist.group.WORLD), async_op=True)

    def received() -> list[list[int]]:
        work.wait()
        return [row.tolist() for row in every]

    return received


def mean(values: Tensor, counts: Callable[[], list[list[int]]]) -> Tensor:
    """This process's part of the mean over all processes: its average over processes is that mean, as for gradients.

    So a mean needs no exchange of values, and waits only for the numbers of samples.

    Args:
        values: (N,), a fixed number of values for each counted sample.
        counts: from :func:`counts_later`, called with the number of samples.
    """
    every = [row[0] for row in counts()]
    weight = every[process_index()] * len(every) / sum(every)
    return values.sum() * (weight / max(len(values), 1))


class _Gather(torch.autograd.Function):
    """Concatenates rows of all processes, padded for the exchange, since collectives need equal sizes.

    The size is guessed from the last such exchange, so that rows and sizes are sent at the same time. If the guess was
    too small, the rows are sent again.
    """

    longest: ClassVar[dict[Any, int]] = {}  # of the last exchange, the same in every process

    @staticmethod
    def forward(context: Any, values: Tensor, lengths: Callable[[], list[list[int]]], index: int) -> Tensor:
        kind = (values.shape[1:], values.dtype)
        guess = _Gather.longest.get(kind, 0)
        sent = _exchange(values[:guess], guess) if guess else None
        sizes = context.sizes = [sum(row) for row in lengths()]
        context.index, longest = index, max(sizes)
        _Gather.longest[kind] = longest
        every = sent() if sent and longest <= guess else _exchange(values, longest)()
        return torch.cat([rows[:size] for rows, size in zip(every, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        own = slopes[0].split(context.sizes)[context.index]
        return own * len(context.sizes), None, None


def _exchange(values: Tensor, size: int) -> Callable[[], list[Tensor]]:
    """Start sending rows, padded to ``size``; the returned function waits for those of every process."""
    _hear()
    padded = values.new_zeros(size, *values.shape[1:])
    padded[: len(values)] = values
    every = [torch.empty_like(padded) for _ in range(num_processes())]
    work = dist.all_gather(every, padded, async_op=True)

    def received() -> list[Tensor]:
        work.wait()
        return every

    return received


@torch.no_grad()
def average(value: Tensor) -> Tensor:
    """The mean over processes of a tensor of equal shapes, such as a gradient; without gradient."""
    return total(value).div_(num_processes()) if is_distributed() else value


@torch.no_grad()
def total(value: Tensor) -> Tensor:
    """The sum over processes of a tensor of equal shapes; without gradient."""
    if not is_distributed():
        return value
    _hear()
    summed = value.detach().clone()
    dist.all_reduce(summed)
    return summed


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its mean over processes, in one exchange for each dtype; a missing one counts as zero.

    All processes must pass the same parameters in the same order.
    """
    if not is_distributed():
        return
    by_dtype: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_dtype.setdefault(parameter.dtype, []).append(parameter)
    for group in by_dtype.values():
        grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in group]
        mean = average(torch.cat([grad.flatten() for grad in grads]))
        for one, part in zip(group, mean.split([one.numel() for one in group]), strict=True):
            one.grad = part.view_as(one)


@lru_cache(maxsize=1)
def _hosts(world: Any) -> Any:
    """A group of the same processes for tensors on the host: the default group if it is gloo's, else a new one."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")


def gather_objects(value: Any) -> list[Any]:
    """The values of all processes, in order, in the first process; in the others their own alone.

    Tensors are copied to the host, and values are sent pickled: for checkpoints, which the first process writes, not
    for training steps.
    """
    value = tree_map_only(Tensor, lambda tensor: tensor.cpu(), value)
    if not is_distributed():
        return [value]
    _hear()
    every: list[Any] | None = None if process_index() else [None] * num_processes()
    dist.gather_object(value, every, dst=0, group=_hosts(dist.group.WORLD))
    return [value] if every is None else every


def leave() -> None:
    """Leave the process group after a successful run, without waiting for the other processes.

    If threads of gloo still hold tensors when the interpreter exits, they abort the process, and torchrun would then
    stop a first process that is still writing its reports. After a failure this is not called, since others may wait
    in an exchange.
    """
    if is_distributed():
        _hosts.cache_clear()
        dist.destroy_process_group()


def separate_streams() -> None:
    """Seed every process differently, from torch's seed and its index; a single process keeps its seed."""
    if is_distributed():
        torch.manual_seed((torch.initial_seed() * 1_000_003 + process_index()) % 2**63)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The states of this process's random generators in torch, as plain tensors."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Restore the states that :func:`random_state` returned."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
