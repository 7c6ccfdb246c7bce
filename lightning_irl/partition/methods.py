"""Names of the estimates of log Z: what there is, and what of a choice applies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightning_irl.errors import did_you_mean
from lightning_irl.partition.quadrature import quadrature_applies
from lightning_irl.spaces.event import Event, is_counted

METHODS = (
    "quadrature",
    "annealed_broad",
    "annealed",
    "annealed_reverse",
    "bridge",
    "importance",
    "discriminator",
    "mixture",
)
DEFAULT_METHODS = tuple(name for name in METHODS if name != "annealed_reverse")  # which costs as much again
# Of trajectories only actions could move along an annealed path, and through states that the environment alone makes.
TRAJECTORY_METHODS = ("importance", "discriminator", "mixture")
# Discrete levels have no gradient for a chain to follow; few enough states can be summed over.
COUNTED_METHODS = ("quadrature", *TRAJECTORY_METHODS)


def check_methods(methods: Sequence[str]) -> None:
    """Look at a choice of estimates.

    Raises:
        ValueError: naming the first that there is not.
    """
    if isinstance(methods, str):
        raise ValueError(f"methods is {methods!r}; give a list of names, such as [{methods}]")
    for name in methods:
        if name not in METHODS:
            raise ValueError(f"methods has {[name]}; {did_you_mean(str(name), METHODS)}")


def applicable(methods: Sequence[str], event: Event) -> list[str]:
    """The methods, of these, that are for samples of an event's kind."""
    if event["kind"] == "trajectory":
        return [name for name in methods if name in TRAJECTORY_METHODS]
    return [name for name in methods if not is_counted(event) or name in COUNTED_METHODS]


def left_out(methods: Sequence[str], event: Event) -> Iterator[str]:
    """A line for each method of a choice that would not be run; of the default choice nothing, which is all that
    applies.
    """
    if tuple(methods) == DEFAULT_METHODS:
        return
    kind = "trajectories" if event["kind"] == "trajectory" else "discrete levels"
    ours = applicable(methods, event)
    for name in methods:
        if name not in ours:
            yield f"{name} is left out, since it does not apply to {kind}"
        elif name == "quadrature" and not quadrature_applies(event):
            yield "quadrature is left out: samples have more than two coordinates, or more than 2^20 states"
        elif name == "bridge" and not {"annealed", "annealed_broad"} & set(methods):
            yield "bridge is left out, since no draws of the model are made: add annealed or annealed_broad"
        elif name == "annealed_reverse" and "annealed" not in methods:
            yield "annealed_reverse is left out, since it goes back from where annealed went: add annealed"
