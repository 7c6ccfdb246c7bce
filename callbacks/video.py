"""Videos of episodes: an extra, for ``--trainer.callbacks+=lightning_irl.callbacks.LogVideo``."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from lightning_irl.callbacks.failing import spares_the_run
from lightning_irl.callbacks.publish import aside, publish_video
from lightning_irl.callbacks.report import Report
from lightning_irl.environments import Environment
from lightning_irl.samplers import PolicySampler
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import View

INCHES, DOTS = 1.5, 80  # side of a scene, and dots per inch


class LogVideo(Report):
    """Episodes of the policy side by side as ``samples/video``, a GIF, at the end of ``fit`` and in ``test``.

    Does nothing if the sampler is not a policy or its environment cannot draw scenes
    (:meth:`~lightning_irl.environments.Environment.sketch`).

    Args:
        num_episodes: episodes in the video; the first follows the policy's mode.
        num_frames: largest number of frames; longer episodes show every second step, every third, and so on.
        frames_per_second: speed of the video.

    Attributes:
        latest: path of the latest video.

    Raises:
        ValueError: if one of them is below 1.
    """

    def __init__(self, num_episodes: int = 4, num_frames: int = 100, frames_per_second: int = 20) -> None:
        if min(num_episodes, num_frames, frames_per_second) < 1:
            raise ValueError(
                f"video: num_episodes is {num_episodes}, num_frames {num_frames} and frames_per_second "
                f"{frames_per_second}; each must be at least 1"
            )
        self.num_episodes, self.num_frames, self.frames_per_second = num_episodes, num_frames, frames_per_second
        self.latest: Path | None = None

    @rank_zero_only
    @spares_the_run
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, pl_module)

    @rank_zero_only
    @spares_the_run
    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not isinstance(pl_module, View) or not isinstance(pl_module.sampler, PolicySampler):
            return
        if getattr(trainer, "fast_dev_run", False):
            return
        sampler = pl_module.sampler
        with aside(pl_module, seed=0):
            episodes = [sampler.rollout(1, deterministic=True).trajectory]
            if self.num_episodes > 1:
                episodes.append(sampler.rollout(self.num_episodes - 1).trajectory)
        frames = frames_of(sampler.environment, episodes, self.num_frames)
        if frames:
            self.latest = publish_video(trainer, frames, self.frames_per_second, "samples/video", pl_module.batches)


def frames_of(environment: Environment, parts: list[Trajectory], most: int) -> list[Image.Image]:
    """Scenes of episodes side by side, in at most ``most`` pictures; an episode that has ended stands still.

    Returns:
        The pictures; none if the environment cannot draw scenes.
    """
    observations = torch.cat([part.observations for part in parts]).cpu()
    lengths = torch.cat([part.mask for part in parts]).sum(1).tolist()
    figure = Figure(figsize=(INCHES * len(observations), INCHES), dpi=DOTS)
    figure.subplots_adjust(0.02, 0.02, 0.98, 0.98)
    panels = figure.subplots(1, len(observations), squeeze=False)[0]
    canvas, frames = FigureCanvasAgg(figure), []
    for step in range(0, max(lengths) + 1, math.ceil((max(lengths) + 1) / most)):
        for axes, episode, length in zip(panels, observations, lengths, strict=True):
            axes.clear()
            axes.set_axis_off()
            if not environment.sketch(axes, episode[min(step, length)]):
                return []
        canvas.draw()
        frames.append(Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB"))
    return frames
