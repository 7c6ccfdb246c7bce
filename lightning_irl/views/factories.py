"""Options of a view that are code: a checkpoint keeps their descriptions, and loading it warns of what is missing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor

KEY = "factories"  # of a checkpoint
LONGEST = 120  # characters for one option


class NotPlainError(TypeError):
    """A value that a checkpoint of plain data cannot hold."""


def set_aside(view: LightningModule) -> dict[str, str]:
    """Leave only plain data in a view's hyper-parameters, which checkpoints hold and ``load_from_checkpoint`` restores.

    Returns:
        The options that were removed and are not the default, each with a description of its value; none for a view
        made from a config, whose hyper-parameters are that config.
    """
    ours = defaults(type(view))
    taken: dict[str, str] = {}
    for name in [*(name for name in ours if name in view.hparams), *(set(view.hparams) - set(ours))]:
        value = view.hparams[name]
        try:
            view.hparams[name] = _plain(value)
        except NotPlainError:
            del view.hparams[name]
            if name not in ours or not is_default(value, ours[name]):
                taken[name] = describe(value)
    return taken


def defaults(kind: type) -> dict[str, Any]:
    """The defaults of a class's options, including those that ``**options`` passes to its bases."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        if "__init__" in vars(base):
            for name, parameter in inspect.signature(vars(base)["__init__"]).parameters.items():
                if parameter.default is not parameter.empty:
                    found.setdefault(name, parameter.default)
    return found


def is_default(value: Any, default: Any) -> bool:
    """Whether a value, as given in Python or in a config, equals a default."""
    if isinstance(value, Mapping) and "class_path" in value and inspect.isclass(default):
        given = value.get("init_args", {})
        is_same = str(value["class_path"]).rpartition(".")[2] == default.__name__
        return is_same and all(is_default(part, defaults(default).get(name)) for name, part in given.items())
    if isinstance(value, str) and inspect.isfunction(default):
        return value == f"{default.__module__}.{default.__qualname__}"
    is_number = isinstance(value, (int, float)) and isinstance(default, (int, float))
    return value == default if is_number else _words(value) == _words(default)


def say_missing(theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    """Warn of options that a checkpoint's view was built with and this view was not.

    Args:
        theirs: result of :func:`set_aside` for the checkpoint's view.
        ours: result of :func:`set_aside` for this view.
    """
    missing = [f"{name}={words}" for name, words in theirs.items() if name not in ours]
    if missing:
        names = [text.partition("=")[0] for text in missing]
        rank_zero_warn(
            f"not restored: {'; '.join(missing)}. A checkpoint holds no code, so this view has the default. Give "
            f"{'it' if len(names) == 1 else 'each'} again: load_from_checkpoint(path, "
            f"{', '.join(f'{name}=...' for name in names)})"
        )


def describe(value: Any) -> str:
    """A short description of a value, close to how it was written.

    Example:
        >>> from torch.optim import Adam
        >>> describe([partial(Adam, lr=1e-4), max])
        '[partial(Adam, lr=0.0001), max]'
    """
    text = _words(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _words(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, partial) and hasattr(value.func, "__name__"):
        called, args = value.func, value.args
        if called.__name__ == "call_without_instantiate_context":  # jsonargparse's wrapper around what a config names
            called, args = args[1], args[2:]
        given = [*map(_words, args), *(f"{name}={_words(part)}" for name, part in value.keywords.items())]
        return f"partial({', '.join([_words(called), *given])})" if given else _words(called)
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__qualname__.rpartition("<locals>.")[2].replace("<lambda>", "a lambda")
    try:
        return repr(_plain(value))
    except NotPlainError:
        return type(value).__name__


def _plain(value: Any) -> Any:
    """The value as data that ``weights_only`` loads."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str, Tensor)):
        return value
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, dict):
        return type(value)({name: _plain(part) for name, part in value.items()})
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    raise NotPlainError
