"""Comparison of a view's environment with its demonstrations, before training."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from lightning_irl.environments import agreement
from lightning_irl.samplers import PolicySampler, Sampler
from lightning_irl.spaces.served import describe
from lightning_irl.spaces.trajectory import Trajectory


def compare_with_environment(sampler: Sampler, data: Any, stage: str) -> None:
    """Compare a policy's environment with the demonstrations before training; do nothing unless there are both.

    Args:
        sampler: of the view.
        data: the data module, or None; its ``splits`` are compared if they are trajectories.
        stage: Lightning's stage; likely mistakes are only reported before training.

    Raises:
        UserError: if the two cannot belong together; a likely mistake is a warning.
    """
    said = describe(data)
    parts = [part for part in said.splits or () if isinstance(part, Trajectory)]
    if not isinstance(sampler, PolicySampler) or not parts:
        return
    environment = sampler.environment
    said.take_bounds(sampler.event)
    if stage != "fit":
        return
    for line in sampler.agreement.mended:
        rank_zero_info(line)
    for line in sampler.agreement.doubts:
        rank_zero_warn(line)
    agreement.refuse(environment, parts)
    for line in agreement.doubts(environment, parts[0], said.recorded_in):
        rank_zero_warn(line)
