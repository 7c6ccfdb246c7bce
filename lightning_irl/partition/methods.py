"""Which estimators a choice of methods means, and which of them apply."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TypeAlias

from lightning_irl.errors import did_you_mean
from lightning_irl.partition.estimator import Estimator
from lightning_irl.partition.estimators import ESTIMATORS
from lightning_irl.spaces.event import Event

METHODS = tuple(ESTIMATORS)
DEFAULT_METHODS = tuple(name for name in METHODS if name != "annealed_reverse")  # which costs as much again

# A name of METHODS; the import path of an Estimator of one's own, such as "mine.Bound"; its class, or an instance.
Method: TypeAlias = str | Estimator | type[Estimator]


def estimators_of(methods: Sequence[Method]) -> list[Estimator]:
    """The estimators that a choice means, in its order.

    Args:
        methods: names, import paths, classes or instances; see :data:`Method`.

    Raises:
        ValueError: naming the first that is no estimator, or a name that two of them have.
    """
    if isinstance(methods, str):
        raise ValueError(f"methods is {methods!r}; give a list of names, such as [{methods}]")
    found: dict[str, Estimator] = {}
    for method in methods:
        estimator = _estimator(method)
        other = found.setdefault(estimator.name, estimator)
        if other is not estimator:
            raise ValueError(f"methods has two estimators with the name {estimator.name!r}; names are unique")
    return list(found.values())


def check_methods(methods: Sequence[Method]) -> None:
    """Look at a choice of methods before anything is run; errors as of :func:`estimators_of`."""
    estimators_of(methods)


def applicable(estimators: Sequence[Estimator], event: Event) -> list[Estimator]:
    """Those that apply to samples of an event, in the order of ``METHODS`` and then as they were given."""
    ours = [estimator for estimator in estimators if not estimator.unsuited(event)]
    return sorted(ours, key=lambda one: METHODS.index(one.name) if one.name in METHODS else len(METHODS))


def left_out(methods: Sequence[Method], event: Event) -> Iterator[str]:
    """A line for each method of a choice that would not be run; none for the default choice, which is all that
    applies.
    """
    if tuple(methods) == DEFAULT_METHODS:
        return
    estimators = estimators_of(methods)
    names = {estimator.name for estimator in estimators}
    for estimator in estimators:
        reason = estimator.unsuited(event)
        if not reason and estimator.follows and not names & set(estimator.follows):
            reason = f"{estimator.why_it_follows}: add {' or '.join(estimator.follows)}"
        if reason:
            yield f"{estimator.name} is left out, since {reason}"


def _estimator(method: Method) -> Estimator:
    if isinstance(method, str):
        if method in ESTIMATORS:
            return ESTIMATORS[method]
        method = _imported(method)
    if inspect.isclass(method) and issubclass(method, Estimator):
        try:
            return _named(method())
        except TypeError as error:
            raise ValueError(f"methods has {method}, which cannot be made without arguments: {error}") from error
    if not isinstance(method, Estimator):
        raise ValueError(f"methods has {method!r}; give one of {', '.join(METHODS)}, or an Estimator")
    return _named(method)


def _named(estimator: Estimator) -> Estimator:
    """An estimator, once its name is seen to be one that can be logged and is not taken."""
    name, kind = getattr(estimator, "name", None), type(estimator).__name__
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
        raise ValueError(f"estimator {kind} has the name {name!r}; give it one of letters, digits and _")
    if name in ESTIMATORS and not isinstance(estimator, type(ESTIMATORS[name])):
        raise ValueError(f"estimator {kind} has the name {name!r}, which is taken; give it another")
    return estimator


def _imported(path: str) -> Method:
    """What an import path names."""
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError(f"methods has {[path]}; {did_you_mean(path, METHODS)}")
    try:
        found: Method = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"methods has {[path]}, which cannot be imported: {error}") from error
    return found
