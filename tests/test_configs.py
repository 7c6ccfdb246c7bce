"""Every config that ships trains."""

import pytest
import torch

from lightning_irl.cli import CONFIGS, OVERLAYS, main, shipped_configs
from lightning_irl.views.view import read_checkpoint

SMALL = ["--threads=1", "--data.steps_per_epoch=2", "--data.batch_size=8", "--trainer.max_epochs=1"]
QUICK = ["--partition.methods=[importance]", "--partition.num_samples=128", "--trainer.enable_progress_bar=false"]


@pytest.mark.parametrize("name", [name for name in shipped_configs() if name.split("/")[0] not in OVERLAYS])
def test_two_batches(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    warm = ["--model.init_args.warm_start=1"] if "warm_start:" in (CONFIGS / f"{name}.yaml").read_text() else []
    assert main(["fit", "--config", name, *SMALL, *QUICK, *warm]) == 0
    checkpoint = read_checkpoint(str(next(tmp_path.rglob("*.ckpt"))))
    assert checkpoint["batches"] == 2
    assert all(torch.isfinite(value).all() for key, value in checkpoint["state_dict"].items() if key != "log_z")
