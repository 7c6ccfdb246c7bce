"""Where a view's environment and its demonstrations first meet."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from lightning_irl.environments import agreement
from lightning_irl.samplers import PolicySampler, Sampler
from lightning_irl.spaces.served import describe
from lightning_irl.spaces.trajectory import Trajectory


def compare_with_environment(sampler: Sampler, data: Any, stage: str) -> None:
    """Compare a policy's environment with the demonstrations before training; silent where there are not both.

    Args:
        sampler: of the view.
        data: the data module, or None; its ``splits`` are looked at where they are trajectories.
        stage: Lightning's; what is likely a mistake is said before training alone.

    Raises:
        UserError: for what cannot be; what is likely a mistake is a warning.
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
