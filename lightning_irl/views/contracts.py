"""What a view requires of the data module: its description, its loaders, and batches as every hook receives them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pytorch_lightning import Trainer
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader

from lightning_irl.errors import UserError
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event
from lightning_irl.spaces.served import DataDescription, as_batch, check_description, describe
from lightning_irl.spaces.space import space_of

if TYPE_CHECKING:
    from lightning_irl.views.view import View

ALIKE = ("kind", "shape", "levels")  # fields that must agree between the two events
ALIKE_TRAJECTORIES = ("kind", "observation_shape", "num_actions", "action_shape")


def data_of(trainer: Trainer) -> DataDescription:
    """The description of a run's data module; the defaults if the run has none."""
    return describe(getattr(trainer, "datamodule", None))


def loader_of(trainer: Trainer, stage: str) -> Any:
    """The loader of one part of the demonstrations: the data module's, else the one given to ``fit`` or ``test``.

    Args:
        trainer: of the run.
        stage: ``train``, ``val``, ``test`` or ``predict``.

    Returns:
        A loader; None if there is none.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    name = f"{stage}_dataloader"
    if data is not None:
        return getattr(data, name)() if is_overridden(name, data) else None
    given = getattr(trainer, name if stage == "train" else f"{name}s")
    return given[0] if isinstance(given, list) and len(given) == 1 and isinstance(given[0], DataLoader) else given


def batches(view: View, data: Any, loader: Any) -> Iterator[Batch]:
    """The batches of a loader, as a view's hooks receive them, on the host.

    Args:
        view: the view whose event the batches are made for.
        data: the data module whose transfer hooks are applied, or None.
        loader: of the data module.
    """
    before, after = (transfer_hook(view, data, f"on_{when}_batch_transfer") for when in ("before", "after"))
    for served in loader:
        yield as_batch(after(before(served, 0), 0), view.event, view.log_z.dtype)


def transfer_hook(view: View, data: Any, name: str) -> Callable[[Any, int], Any]:
    """A device-transfer hook, chosen as Lightning does: the data module's if it overrides it, else the view's."""
    owner = data if data is not None and is_overridden(name, data) else view
    hook: Callable[[Any, int], Any] = getattr(owner, name)
    return hook


def check_data(view: View, data: Any) -> None:
    """Check a data module's description, and compare its event with the view's.

    Args:
        view: the view that is to be trained or tested.
        data: the data module, after its ``setup``; None for plain loaders, whose batches are checked one by one.

    Raises:
        UserError: naming what is wrong or what differs.
    """
    check_description(data)
    theirs = describe(data).event
    if theirs is not None:
        check_event(view.event, theirs, type(data).__name__)


def check_event(mine: Event, theirs: Event, name: str) -> None:
    """Compare the event of a view with that of the data.

    Location, scale, bounds and horizon may differ, so that a view can be tested on other data, and what the data
    module only guessed.

    Raises:
        UserError: naming the first field that differs, or the box that the data leaves.
    """
    ours = space_of(mine)
    fields = ALIKE_TRAJECTORIES if ours.has_steps else ALIKE
    guessed = theirs.get("guessed", ())  # from the data; the view has them from its environment
    for field in fields:
        if field not in guessed and mine.get(field) != theirs.get(field):
            raise UserError(
                f"the view takes samples of {field} {mine.get(field)}, data module {name} serves {field} "
                f"{theirs.get(field)}: build the view from the data's own event, such as GAN(event=data.event, ...)"
            )
    if ours.edges is None:
        return
    low, high = ours.edges
    edges = space_of(theirs).edges or (-math.inf, math.inf)
    if edges[0] < low or edges[1] > high:
        raise UserError(
            f"the view takes samples in the box [{low:g}, {high:g}], data module {name} serves samples in "
            f"[{edges[0]}, {edges[1]}], which have no density there: build the view from the data's own event, such "
            "as GAN(event=data.event, ...)"
        )
