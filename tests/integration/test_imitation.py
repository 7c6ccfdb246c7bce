"""The shipped imitation configs do what they are shipped for, on the demonstrations that ship."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.spaces.trajectory import Trajectory
from lightning_irl.views import IRL

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", ["irl/pendulum", "irl/cartpole", "irl/grid"])
def test_ten_demonstrations_are_enough(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    report = ["--imitation.every_n_batches=1000", "--imitation.num_episodes=100", "--partition.methods=[importance]"]
    main(["fit", "--config", name, *report, "--samples.every_n_epochs=0", "--trainer.accelerator=cpu"])
    (path,) = Path("runs").glob("**/imitation_val.json")
    found = json.loads(path.read_text())["results"]
    assert found["imitation/normalised_return_mode"] > 0.9, found

    (checkpoint,) = Path("runs").glob("**/checkpoints/*.ckpt")
    assert main(["predict", "--config", name, "--ckpt_path", str(checkpoint)]) == 0
    (scored,) = Path("runs").glob("**/predictions.npz")
    scores = {key: torch.from_numpy(values) for key, values in np.load(scored).items()}
    view = IRL.load_from_checkpoint(checkpoint, weights_only=True)
    trajectories = Trajectory(*(scores[field] for field in Trajectory._fields))
    torch.testing.assert_close(view.energy(trajectories).detach(), scores["cost"])
    torch.testing.assert_close(view.sampler.log_prob(trajectories).detach(), scores["log_q"])
    logits = -view.energy(trajectories) - view.log_z - scores["log_q"]
    if view.segment_length is None:
        torch.testing.assert_close(logits.detach(), scores["logit"])
    else:  # of transitions, each with the constant of its own
        total = scores["logit"].sum(1) + scores["logit"].shape[1] * view.log_z.detach()
        torch.testing.assert_close((logits + view.log_z).detach(), total, rtol=1e-4, atol=1e-2)
