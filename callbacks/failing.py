"""A report or a figure that fails is left out with one warning: the run and its checkpoints go on.

With several processes this is safe for work of the first process alone (``rank_zero_only``, ``aside``), and for work of
all within ``aside(..., together=True)``, which all leave as soon as one of them fails.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from textwrap import shorten
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_warn

from lightning_irl.views.finite import NonFiniteError

Hook = TypeVar("Hook", bound=Callable[..., Any])
LONGEST_REASON = 200  # characters
_LINES: WeakKeyDictionary[Any, dict[tuple[str, type], str]] = WeakKeyDictionary()


def spares_the_run(hook: Hook) -> Hook:
    """Decorate a hook that reports: if it raises, the report is left out with a warning and the run goes on.

    :class:`~lightning_irl.views.finite.NonFiniteError` still propagates, and so does anything that is not an
    ``Exception`` (Ctrl-C, SIGTERM). Check a user's options in the callback's constructor or ``setup``, which are not
    decorated, so that wrong ones are refused before training.

    Example:
        >>> from pytorch_lightning import Callback
        >>> class LogMine(Callback):
        ...     @spares_the_run
        ...     def on_train_end(self, trainer, pl_module):
        ...         raise ValueError("a report of one's own cannot be made")
    """

    @wraps(hook)
    def spared(self: Any, trainer: Trainer, *args: Any, **kwargs: Any) -> Any:
        with sparing_the_run(trainer, type(self).__name__):
            return hook(self, trainer, *args, **kwargs)
        return None

    return spared  # type: ignore[return-value]


@contextmanager
def sparing_the_run(trainer: Trainer, what: str) -> Iterator[None]:
    """Leave out one part of a report, such as a figure, if it raises; the rest of the report is still made.

    Args:
        trainer: of the run.
        what: name of the part for the warning, such as a figure's key.
    """
    try:
        yield
    except NonFiniteError:
        raise
    except Exception as error:
        batches = getattr(trainer.lightning_module, "batches", trainer.global_step)
        reason = shorten(str(error).partition("\n")[0], LONGEST_REASON, placeholder=" ...")
        line = f"{what} is left out at batch {batches}: {type(error).__name__}" + (f": {reason}" if reason else "")
        said = _LINES.setdefault(trainer, {})
        if (what, type(error)) not in said:
            said[what, type(error)] = line
            if os.environ.get("LIGHTNING_IRL_TRACEBACK"):
                traceback.print_exc()
            rank_zero_warn(f"{line}. The run goes on; LIGHTNING_IRL_TRACEBACK=1 shows where it failed")


def left_out(trainer: Trainer) -> list[str]:
    """Reports that have failed in this run, a line each with the first batch and the reason."""
    return list(_LINES.get(trainer, {}).values())
