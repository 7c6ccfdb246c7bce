"""Range checks for numbers that constructors accept; NaN is in no range."""

from __future__ import annotations


def at_least(bound: float, where: str = "", **values: float | None) -> None:
    """Refuse numbers below a bound; None passes.

    Args:
        bound: the smallest allowed value.
        where: prefix of the names in the message.
        **values: numbers by name.

    Raises:
        ValueError: if a number is below the bound; the message names the first.

    Example:
        >>> at_least(1, steps=3, components=None)
    """
    for name, value in values.items():
        if value is not None and not value >= bound:
            raise ValueError(f"{where}{name} is {value}; it must be at least {bound:g}")


def above(bound: float, where: str = "", **values: float | None) -> None:
    """Refuse numbers that are not above a bound; arguments and errors as of :func:`at_least`."""
    for name, value in values.items():
        if value is not None and not value > bound:
            raise ValueError(f"{where}{name} is {value}; it must be above {bound:g}")
