"""Values of every process as if one process held them all, so that a loss over shards of a minibatch is that of the
whole.

An expectation is a mean over the samples of all processes, and a log of a mean is no mean of logs: what a loss is made
of is first gathered, one number for each sample, and then every process computes the same loss by the same function.
With one process nothing happens.
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
    """Whether there is more than one process, and none works :func:`alone`."""
    return not _alone and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def alone() -> Iterator[None]:
    """Work as if there were no other process: for what one process does while the others go on, or wait."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


class OtherProcessError(RuntimeError):
    """Another process failed at what all were doing together; the text says which, and how."""


@contextmanager
def failing_together() -> Iterator[None]:
    """Do what any process may fail at: where one raises, the others raise :class:`OtherProcessError` and none waits for
    it.

    In here every exchange begins with a word of each process that all is well. One that has failed gives its word and
    leaves, the others hear it at their next exchange, or at the end: all have exchanged equally often, and may go on
    together.
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
    """Say whether this process failed, and how, and hear the others: of :func:`failing_together`."""
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
    """How many processes work together, at least 1."""
    return dist.get_world_size() if is_distributed() else 1


def process_index() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if is_distributed() else 0


def share(total: int) -> int:
    """This process's part of a number of samples or chains; parts differ by one at most.

    Example:
        >>> share(10)
        10
    """
    whole, rest = divmod(total, num_processes())
    return whole + (process_index() < rest)


def gather(values: Tensor) -> Tensor:
    r"""Values (N_r, ...) of every process, one after another (sum of N_r, ...), whatever the sizes.

    Differentiable, for a loss that every process computes alike from what it gathered, and gradients that are then
    averaged over processes, as DistributedDataParallel and FSDP do: a process's own values get the loss's slope times
    the number of processes.

    .. math:: \frac{1}{R} \sum_r R \, \frac{\partial L}{\partial v_r} \frac{\partial v_r}{\partial \theta}
        = \frac{\partial L}{\partial \theta}

    Every process must call it as often as every other. The sizes are exchanged between hosts, so that no device is
    waited for.
    """
    return gather_each(values)[0]


def gather_each(*values: Tensor) -> tuple[Tensor, ...]:
    """:func:`gather` of several tensors (N_r, ...), which may differ in length but not in what follows it, by one
    exchange.
    """
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
    """Exchange numbers between hosts while this one goes on; what is returned waits for those of every process, in
    order.
    """
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
    """This process's part of the mean of every process's values, whose average over processes is that mean, as is its
    gradient's.

    So a mean needs no exchange of values, and none of numbers that is waited for.

    Args:
        values: (N,), a fixed number for each that was counted.
        counts: of :func:`counts_later`, called with how many go into them.
    """
    every = [row[0] for row in counts()]
    weight = every[process_index()] * len(every) / sum(every)
    return values.sum() * (weight / max(len(values), 1))


class _Gather(torch.autograd.Function):
    """Concatenates rows of all processes; padded on the way, since collectives want one size.

    That size is guessed from the last such exchange, so that the rows travel beside their numbers; again, where it was
    too small.
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
    """Send rows, padded to so many, and go on; what is returned waits for every process's."""
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
    """The mean of a tensor of the same shape over processes, such as a gradient; constant."""
    return total(value).div_(num_processes()) if is_distributed() else value


@torch.no_grad()
def total(value: Tensor) -> Tensor:
    """The sum over processes of a tensor of the same shape; constant."""
    if not is_distributed():
        return value
    _hear()
    summed = value.detach().clone()
    dist.all_reduce(summed)
    return summed


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Make every parameter's gradient its mean over processes, by one exchange for each dtype; none counts as zero.

    The same parameters in every process, in the same order.
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
    """A group of the same processes for tensors on the host; the default one where it can."""
    return world if dist.get_backend(world) == "gloo" else dist.new_group(backend="gloo")


def gather_objects(value: Any) -> list[Any]:
    """A value of every process, in order, in the first process; elsewhere its own alone. Tensors are copied to the
    host.

    What it holds is moved as bytes: for checkpoints, which the first process writes, and not for steps.
    """
    value = tree_map_only(Tensor, lambda tensor: tensor.cpu(), value)
    if not is_distributed():
        return [value]
    _hear()
    every: list[Any] | None = None if process_index() else [None] * num_processes()
    dist.gather_object(value, every, dst=0, group=_hosts(dist.group.WORLD))
    return [value] if every is None else every


def leave() -> None:
    """End the exchange with the other processes, when a run has succeeded; no other process is waited for.

    Threads of gloo that still hold tensors when the interpreter ends abort the process, on the others' account too:
    torchrun would stop a first process that is still writing its reports. After a failure nothing is ended here: others
    may wait in an exchange.
    """
    if is_distributed():
        _hosts.cache_clear()
        dist.destroy_process_group()


def separate_streams() -> None:
    """Give every process random numbers of its own, by torch's seed and its index; one process keeps what it has."""
    if is_distributed():
        torch.manual_seed((torch.initial_seed() * 1_000_003 + process_index()) % 2**63)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Where torch's random numbers of this process are, as plain tensors."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Continue from what :func:`random_state` gave."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
