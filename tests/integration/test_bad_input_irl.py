"""Bad demonstrations and environments on the command line: a message that names file, trajectory and step, before any
training.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_irl.command.cli import main

SMALL = [
    *("--model.num_samples=4", "--data.steps_per_epoch=1", "--trainer.max_epochs=3", "--samples.every_n_epochs=0"),
    *("--imitation.num_episodes=5", "--partition.methods=[importance]", "--partition.num_samples=8"),
    *("--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--data.source=mine.npz"),
]
FOUR = "--data.num_demonstrations=4"
NUM = 6  # trajectories in the file, of 200 steps


def arrays():
    generator = np.random.default_rng(0)
    angle = generator.uniform(-1, 1, (NUM * 201,))
    return {
        "obs": np.stack([np.cos(angle), np.sin(angle), angle], 1).astype(np.float32),
        "acts": generator.uniform(-1, 1, (NUM * 200, 1)).astype(np.float32),
        "rews": np.zeros(NUM * 200, np.float32),
        "indices": 200 * np.arange(1, NUM),
    }


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-irl"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    np.savez("mine.npz", **arrays())


def fit(capfd, *options):
    """Exit code, and the message."""
    capfd.readouterr()
    code = main(["fit", "--config", "irl/pendulum", *SMALL, FOUR, *options])
    error = capfd.readouterr().err
    assert "Traceback" not in error
    return code, error[error.index("lightning-irl: ") :] if "lightning-irl: " in error else ""


def test_the_file_itself_is_good(capfd):
    assert fit(capfd)[0] == 0


def spoil(**changes):
    np.savez("mine.npz", **{**arrays(), **changes})


def not_finite(name, row):
    values = arrays()[name]
    values[row] = np.nan
    return {name: values}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (not_finite("obs", 201 + 7), ["mine.npz", "trajectory 1", "step 7"]),
        (not_finite("acts", 400 + 3), ["mine.npz", "trajectory 2", "step 3"]),
        ({"acts": np.zeros((NUM * 200 - 1, 1), np.float32)}, ["mine.npz"]),
        ({"obs": np.array([{"a": 1}], dtype=object)}, ["mine.npz"]),
        ({"obs": np.zeros((NUM * 201, 5), np.float32)}, ["observation_shape is [5]", "Pendulum has [3]"]),
        ({"acts": np.zeros(NUM * 200, np.int64)}, ["mine.npz", "actions are discrete"]),
    ],
    ids=["nan observation", "nan action", "lengths", "pickled", "another environment", "discrete"],
)
def test_a_broken_file_is_refused(capfd, changes, words):
    spoil(**changes)
    code, message = fit(capfd)
    assert code == 2
    assert all(word in message for word in words), message
    assert len(message.splitlines()) <= 10
    assert not list(Path().rglob("*.ckpt"))


def test_a_truncated_file_is_refused(capfd):
    Path("mine.npz").write_bytes(Path("mine.npz").read_bytes()[:2000])
    code, message = fit(capfd)
    assert (code, "mine.npz is truncated" in message) == (2, True), message


def test_one_trajectory_does_not_make_three_parts(capfd):
    values = arrays()
    np.savez("mine.npz", obs=values["obs"][:201], acts=values["acts"][:200], rews=values["rews"][:200], indices=[])
    code, message = fit(capfd, "--data.num_demonstrations=1")
    assert code == 2
    assert "1 traject" in message, message


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("Pendulm-v1", "did you mean Pendulum-v1"),
        ("CartPole-v1", "the demonstrations' observation_shape is [3], environment CartPole-v1 has [4]"),
    ],
)
def test_an_environment_that_does_not_fit(capfd, environment, words):
    prefix = "--model.sampler.init_args.environment"
    code, message = fit(capfd, f"{prefix}=GymnasiumEnvironment", f"{prefix}.init_args.id={environment}")
    assert code == 2
    assert words in message, message


OUTSIDE = """
import torch
from lightning_irl.environments import Pendulum


class Fragile(Pendulum):
    '''Good for a round; then the fourth episode's velocity is NaN in its ninth step.'''

    rounds, time = 0, 0

    def reset(self, num, **options):
        self.rounds, self.time = self.rounds + (num == 4), 0  # those of training
        return super().reset(num, **options)

    def step(self, state, action):
        found = super().step(state, action)
        self.time += 1
        if self.rounds > 1 and self.time == 9:
            found.observation[3, 2] = torch.nan
        return found
"""


def test_an_environment_that_blows_up_is_named_and_what_was_saved_stays(capfd):
    Path("others.py").write_text(OUTSIDE)
    sys.modules.pop("others", None)
    code, message = fit(
        capfd,
        "--model.sampler.init_args.environment=others.Fragile",
        "--imitation.every_n_batches=100",
    )
    sys.modules.pop("others", None)
    assert code == 1
    assert "draws was not finite at batch 1 (the observation at step 9 of episode 3)" in message, message
    (kept,) = Path("runs").rglob("*.ckpt")
    state = torch.load(kept, weights_only=True)
    assert state["batches"] == 1
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert list(Path("runs").rglob("metrics.csv"))
