"""One cost, one sampler, one checkpoint: every view, on points, images and trajectories, by one line of a config."""

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.views.view import read_checkpoint

pytestmark = pytest.mark.long

VIEWS = ("GAN", "EBM", "IRL")
SMALL = [
    *("--threads=1", "--trainer.max_epochs=1", "--data.steps_per_epoch=2", "--data.batch_size=8"),
    *("--partition.methods=[importance]", "--partition.num_samples=32", "--imitation.num_episodes=4"),
    *("--samples.pool=64", "--samples.moves=2"),
    *("--trainer.enable_progress_bar=false", "--trainer.limit_val_batches=1"),
]
CONFIGS = {
    "gan/eight_gaussians": [],
    "gan/digits": ["--model.init_args.warm_start=0"],
    "irl/pendulum": ["--model.init_args.num_samples=8"],
}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_view_trains_the_pair_and_continues_the_others(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = {}
    for view in VIEWS:
        folder = tmp_path / view
        options = [f"--model.class_path={view}", f"--trainer.default_root_dir={folder}"]
        assert main(["fit", "--config", config, *options, *SMALL, *CONFIGS[config]]) == 0
        trained[view] = next(folder.rglob("*.ckpt"))
    for view in VIEWS:
        for other in VIEWS:
            if other != view:
                folder = tmp_path / f"{view} from {other}"
                options = [f"--model.class_path={view}", f"--trainer.default_root_dir={folder}"]
                arguments = [*options, *SMALL, *CONFIGS[config], f"--init_from={trained[other]}"]
                assert main(["fit", "--config", config, *arguments]) == 0
                check_continued(next(folder.rglob("*.ckpt")), trained[other])


def check_continued(ours, theirs):
    """The pair is the other's, a few steps on: nearer to it than to a fresh one, which shares no weight with it."""
    before, after = (read_checkpoint(str(path))["state_dict"] for path in (theirs, ours))
    for part in ("cost.", "sampler."):
        weights = [key for key in before if key.startswith(part) and before[key].ndim > 1]
        moved, size = (
            torch.cat([values.flatten() for values in found]).norm()
            for found in zip(*((after[key] - before[key], before[key]) for key in weights), strict=True)
        )
        assert moved < 0.5 * size, part
