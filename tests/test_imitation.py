"""The shipped imitation configs do what they are shipped for, on the demonstrations that ship."""

import json
from pathlib import Path

import pytest

from lightning_irl.cli import main


@pytest.mark.parametrize("name", ["irl/pendulum", "irl/cartpole"])
def test_ten_demonstrations_are_enough(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    report = ["--imitation.every_n_batches=1000", "--imitation.num_episodes=100", "--partition.methods=[importance]"]
    main(["fit", "--config", name, *report, "--samples.every_n_epochs=0", "--trainer.accelerator=cpu"])
    (path,) = Path("runs").glob("**/imitation_val.json")
    found = json.loads(path.read_text())["results"]
    low = found["imitation/normalised_return_mode"]
    assert low > 0.9, found
