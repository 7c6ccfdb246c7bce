"""What a callback that reports on a run gives to its summary."""

from __future__ import annotations

from collections.abc import Sequence

from pytorch_lightning import Callback
from rich.console import RenderableType


class Report(Callback):
    """A callback whose findings :class:`~lightning_irl.callbacks.Summary` prints at the end of ``fit`` and of ``test``.

    Every hook of Lightning's callbacks can be used. In the order of the trainer's callbacks, a report prints what its
    :meth:`summary` returns.

    Example:
        >>> class CountDraws(Report):
        ...     draws = 0
        ...     def on_train_end(self, trainer, pl_module):
        ...         self.draws = len(pl_module.sampler.sample(8)[0])
        ...     def summary(self):
        ...         return [f"{self.draws} draws at the end"]
    """

    def summary(self) -> Sequence[RenderableType]:
        """What to print, in order: text (rich's markup is understood) or rich's tables; nothing by default."""
        return ()
