"""Where a view's environment and its demonstrations first meet."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_warn

from lightning_irl.environments import agreement
from lightning_irl.environments.base import Environment
from lightning_irl.samplers.base import Sampler
from lightning_irl.trajectory import Trajectory


def compare_with_environment(sampler: Sampler, data: Any) -> None:
    """Compare a policy's environment with the demonstrations before training; silent where there are not both.

    Args:
        sampler: of the view.
        data: the data module, with ``splits`` of trajectories, or None.

    Raises:
        UserError: for what cannot be; what is likely a mistake is a warning.
    """
    environment = getattr(sampler, "environment", None)
    parts = [part for part in getattr(data, "splits", None) or () if isinstance(part, Trajectory)]
    if not isinstance(environment, Environment) or not parts:
        return
    agreement.refuse(environment, parts)
    for line in agreement.doubts(environment, parts[0], getattr(data, "recorded_in", None)):
        rank_zero_warn(line)
