"""Every config that ships trains."""

import csv
import json

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.command.named_configs import CONFIGS, OVERLAYS, shipped_configs, with_bases
from lightning_irl.views.view import read_checkpoint

SMALL = ["--threads=1", "--data.steps_per_epoch=2", "--data.batch_size=8", "--trainer.max_epochs=1"]
QUICK = [
    "--partition.methods=[importance]",
    "--partition.num_samples=128",
    "--samples.pool=128",
    "--samples.moves=2",
    "--trainer.enable_progress_bar=false",
]


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in shipped_configs() if name.split("/")[0] not in OVERLAYS])
def test_two_batches(name, tmp_path, monkeypatch, idx_images, recwarn):
    monkeypatch.chdir(tmp_path)
    text = "".join(path.read_text() for path in with_bases(CONFIGS / f"{name}.yaml"))
    more = ["--model.init_args.warm_start=1"] if "warm_start:" in text else []
    more += [f"--{key}=null" for key in ("init_from", "cost_from") if f"{key}: ???" in text]
    if "ImageDataModule" in text:
        more += ["--data.root", str(idx_images)]
    assert main(["fit", "--config", name, *SMALL, *QUICK, *more]) == 0
    said = [str(one.message) for one in recwarn]
    assert not [line for line in said if "no effect" in line or "is left out" in line or "warm start" in line]
    checkpoint = read_checkpoint(str(next(tmp_path.rglob("*.ckpt"))))
    assert checkpoint["batches"] == 2
    assert all(torch.isfinite(value).all() for key, value in checkpoint["state_dict"].items() if key != "log_z")


def test_a_flow_alone_keeps_its_best_epoch_and_stops_early(tmp_path, monkeypatch):
    """By Lightning's own callbacks; it climbs its loss here, so that every epoch is worse than the one before."""
    monkeypatch.chdir(tmp_path)
    options = [
        "--model.sampler.init_args={transforms: 1, hidden: [8]}",
        "--model.warm_start_optimizer.init_args.maximize=true",
    ]
    options += ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/nll_sampler"]
    options += ["--trainer.callbacks.patience=2"]
    small = [option for option in SMALL if "epochs" not in option]
    assert main(["fit", "--config", "ebm/digits_flow_alone", *small, *QUICK, *options]) == 0
    (metrics,) = tmp_path.rglob("metrics.csv")
    with metrics.open() as file:
        rows = {
            int(row["epoch"]): float(row["val/nll_sampler"])
            for row in csv.DictReader(file)
            if row["epoch"] and row["val/nll_sampler"]
        }
    assert sorted(rows, key=rows.get) == [0, 1, 2]
    (path,) = tmp_path.rglob("*.ckpt")
    assert read_checkpoint(str(path))["epoch"] == 0
    report = json.loads(next(tmp_path.rglob("partition_val.json")).read_text())
    assert report["estimates"] == []
    assert set(report["results"]) == {"val/nll_sampler", "val/bits_per_dim_sampler"}
