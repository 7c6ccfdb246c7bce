"""The base class of data modules: what a data module says about its demonstrations, besides its loaders."""

from __future__ import annotations

import pytorch_lightning as pl

from lightning_irl.spaces.event import Event, validate_event
from lightning_irl.spaces.served import DataDescription


class DemonstrationsDataModule(DataDescription, pl.LightningDataModule):
    r"""A LightningDataModule with an event: the base of a data module of your own.

    Write ``train_dataloader``, and ``val_dataloader`` and ``test_dataloader`` for held-out likelihoods. A loader may
    serve samples (B, \*shape), lists or tuples that start with samples (what a ``TensorDataset`` gives, or images with
    labels), or a :class:`~lightning_irl.spaces.Batch` where the log-determinant of how they are served is known.
    Set what else is known as an attribute of :class:`~lightning_irl.spaces.served.DataDescription`: ``density``,
    ``labels``, ``name``, ``expert_return``, ``steps_per_epoch``, ...; each is checked once, before training.

    For samples in one array there is :class:`~lightning_irl.datamodules.ArrayDataModule`; for tensors in
    memory, :class:`~lightning_irl.datamodules.MemoryDataModule`, whose order is the same for every number of workers
    and after a resume.

    Args:
        event: what one sample looks like as it is served, by :func:`~lightning_irl.spaces.make_event`.

    Raises:
        ValueError: if the event is not valid; the message names the field.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> from lightning_irl.spaces import make_event
        >>> class Ring(DemonstrationsDataModule):
        ...     def __init__(self, number: int = 1024) -> None:
        ...         super().__init__(make_event("point", [2], scale=[0.7]))
        ...         angle = 6.28 * torch.rand(number)
        ...         self.points = torch.stack([angle.cos(), angle.sin()], 1)
        ...
        ...     def train_dataloader(self) -> DataLoader:
        ...         return DataLoader(TensorDataset(self.points), batch_size=64, shuffle=True)
        >>> Ring().event["kind"]
        'point'
    """

    event: Event

    def __init__(self, event: Event) -> None:
        super().__init__()
        validate_event(event)
        self.event = event
