"""What components exchange: a tensor, or a NamedTuple of tensors, batch first.

Everything here works on either, and on named tuples of a user's own, so that nothing else asks which it is. What needs
one in particular says so with :func:`as_tensor` or :func:`~lightning_irl.spaces.trajectory.as_trajectory`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

Samples: TypeAlias = Tensor | tuple[Tensor, ...]
AnySamples = TypeVar("AnySamples", bound=Samples)  # the same type in and out


def parts_of(samples: Samples) -> tuple[Tensor, ...]:
    """Every tensor of the samples, each with the batch first.

    Raises:
        TypeError: if the samples are neither a tensor nor a tuple of tensors.
    """
    parts = (samples,) if isinstance(samples, Tensor) else samples
    if not isinstance(parts, tuple) or not all(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"samples are a tensor or a NamedTuple of tensors, batch first, not a {_name(samples)}")
    return parts


def _like(samples: AnySamples, parts: Iterable[Tensor]) -> AnySamples:
    """Samples of the same type made of other tensors."""
    if isinstance(samples, Tensor):
        (found,) = parts
        return found  # type: ignore[return-value]
    return getattr(type(samples), "_make", tuple)(parts)  # type: ignore[no-any-return, return-value]


def _name(samples: Any) -> str:
    return "tensor" if isinstance(samples, Tensor) else type(samples).__name__


def each(function: Callable[[Tensor], Tensor], samples: AnySamples) -> AnySamples:
    """Apply a function to every tensor of the samples."""
    return _like(samples, map(function, parts_of(samples)))


def count(samples: Samples) -> int:
    """How many samples there are, B.

    Example:
        >>> count(torch.zeros(5, 2))
        5
    """
    return len(parts_of(samples)[0])


def device_of(samples: Samples) -> torch.device:
    """The device that the samples are on."""
    return parts_of(samples)[0].device


def to(samples: AnySamples, device: torch.device | str) -> AnySamples:
    """The samples on a device."""
    return each(lambda part: part.to(device), samples)


def join(parts: Sequence[AnySamples]) -> AnySamples:
    """Samples of all parts, one after another.

    Raises:
        ValueError: if the parts are not all of one type, or there are none.

    Example:
        >>> join([torch.zeros(2, 3), torch.ones(1, 3)]).shape
        torch.Size([3, 3])
    """
    kinds = {Tensor if isinstance(part, Tensor) else type(part) for part in parts}
    if len(kinds) != 1:
        given = " and ".join(dict.fromkeys(map(_name, parts))) or "nothing"
        raise ValueError(f"samples of one type can be joined, not {given}; draw or serve all of them in the same form")
    return _like(parts[0], (torch.cat(fields) for fields in zip(*map(parts_of, parts), strict=True)))


def select(samples: AnySamples, index: Tensor | slice) -> AnySamples:
    """The samples at the given places: (K,) long, a mask (B,) bool, or a slice."""
    return each(lambda part: part[index], samples)


def pieces(samples: AnySamples, size: int) -> Iterator[AnySamples]:
    """The samples in pieces of at most ``size``."""
    split = (part.split(size) for part in parts_of(samples))
    yield from (_like(samples, parts) for parts in zip(*split, strict=True))


def doubled(samples: AnySamples) -> AnySamples:
    """The same in float64; what is not floating stays."""
    return each(lambda part: part.double() if part.is_floating_point() else part, samples)


def fields_of(samples: Samples) -> dict[str, Tensor]:
    """Every tensor by its name, as a file holds them; that of a tensor is ``samples``.

    Example:
        >>> list(fields_of(torch.zeros(5, 2)))
        ['samples']
    """
    names: Sequence[str] = getattr(samples, "_fields", ("samples",))
    return dict(zip(names, parts_of(samples), strict=True))


def plain(samples: Samples) -> Samples:
    """The samples as a checkpoint holds them: a tensor, or a plain tuple of tensors. :func:`restored` takes them."""
    return samples if isinstance(samples, Tensor) else tuple(parts_of(samples))


def restored(saved: Samples, like: AnySamples) -> AnySamples:
    """What :func:`plain` gave, as samples of the same type as others.

    Raises:
        ValueError: if they are not of that type.
    """
    parts = parts_of(saved)
    if len(parts) != len(parts_of(like)) or isinstance(saved, Tensor) != isinstance(like, Tensor):
        found = "a tensor" if isinstance(saved, Tensor) else f"{len(parts)} tensors"
        raise ValueError(f"saved samples are {found}, not a {_name(like)} as those drawn now; the sampler is another")
    return _like(like, parts)


class Finiteness(NamedTuple):
    """Whether samples are finite, left on their device.

    Attributes:
        value: finite if and only if what was looked at is; of any shape.
        place: sample and step (2,), long, of the first that is not; None where samples have no steps.
    """

    value: Tensor
    place: Tensor | None


def finiteness(samples: Samples) -> Finiteness:
    """Look for what is not finite. A named tuple whose ``finiteness`` says where it is answers for itself; of others
    every tensor is looked at.
    """
    if isinstance(samples, Tensor):
        return Finiteness(samples, None)
    if hasattr(samples, "finiteness"):
        return samples.finiteness()  # type: ignore[no-any-return]
    are_finite = torch.stack([torch.isfinite(part).all() for part in parts_of(samples)])
    return Finiteness(torch.where(are_finite, 0.0, torch.nan), None)


def as_tensor(samples: Samples, user: str) -> Tensor:
    """The samples, which must be a tensor.

    Args:
        samples: of any type.
        user: what needs a tensor, with its verb, for the message: ``the autoencoder takes``.

    Raises:
        TypeError: naming both.
    """
    if not isinstance(samples, Tensor):
        raise TypeError(f"{user} samples that are a tensor, not a {_name(samples)}")
    return samples
