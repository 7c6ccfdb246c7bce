"""A report or a picture that cannot be made costs itself and a line: never the run, nor its checkpoint.

Over several processes two kinds are safe: what the first process does alone (``rank_zero_only``, ``aside``), and what
all do within ``aside(..., together=True)``, which all leave as soon as one of them fails.
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
    """Decorate a callback's hook that reports: where it raises, the report is left out with a warning and the run goes
    on.

    :class:`~lightning_irl.views.finite.NonFiniteError` passes, as does what is no ``Exception`` (Ctrl-C, SIGTERM). What
    a user can get wrong belongs into the callback's ``setup``, which is not decorated, so that it is refused before
    training.

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
    """The same for a part of a report, such as one figure: what comes after it is still made.

    Args:
        trainer: of the run.
        what: is lost where it fails, such as a figure's key.
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
    """What reports of a run could not be made so far, a line each with the first batch and the reason."""
    return list(_LINES.get(trainer, {}).values())
