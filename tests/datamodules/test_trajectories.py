"""Demonstrations from files and from memory, and what is wrong with some of them."""

import numpy as np
import pytest
import torch

from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule, read_npz, write_npz
from lightning_irl.samples import count
from lightning_irl.trajectory import Trajectory, cut


def episodes(lengths=(5, 5, 5, 5), discrete=True, rewards=True, **options):
    """Observation k of episode i is (10 i + k, -k); discrete actions alternate, others rise."""
    steps = [np.arange(length) for length in lengths]
    return Demonstrations(
        [np.stack([10.0 * i + np.arange(n + 1), -np.arange(n + 1.0)], 1) for i, n in enumerate(lengths)],
        [step % 2 if discrete else step[:, None] / 4 - 0.5 for step in steps],
        [np.ones(length) for length in lengths] if rewards else None,
        [True] * len(lengths),
        **options,
    )


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "some.npz"
    written = episodes((5, 3, 4), metadata={"horizon": 5, "num_actions": 2, "environment": "CartPole-v1"})
    write_npz(path, written)
    found = read_npz(path)
    assert found.lengths == [5, 3, 4]
    assert found.returns == [5, 3, 4]
    assert found.metadata == written.metadata
    for ours, theirs in zip(found.observations + found.actions, written.observations + written.actions, strict=True):
        assert np.array_equal(ours, theirs)
    assert list(tmp_path.iterdir()) == [path]  # nothing is left beside it


def test_trajectories_are_padded_and_absorbed():
    data = TrajectoryDataModule(episodes((5, 3, 4, 5)), absorbing=True, num_demonstrations=2)
    train = data.splits.train
    assert isinstance(train, Trajectory)
    assert train.mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
    assert train.terminal.tolist() == [False, True]  # the file's terminal at the horizon is not believed
    assert train.observations[1, :, 1].tolist() == [0, -1, -2, -3, -3, -3]
    assert train.actions[1].tolist() == [0, 1, 0, 0, 0]
    assert data.event["horizon"] == 5
    assert data.event["num_actions"] == 2
    assert data.expert_return == pytest.approx(17 / 4)
    assert cut(train, 1).mask.sum() == 8


def test_a_terminal_at_the_horizon_is_believed_when_asked_to():
    data = TrajectoryDataModule(episodes(), absorbing=True, trust_terminal=True, num_demonstrations=2)
    assert data.splits.train.terminal.tolist() == [True, True]


def test_parts_are_disjoint_and_the_first_are_for_training():
    data = TrajectoryDataModule(episodes((5,) * 20), num_demonstrations=10, fractions=(0.2, 0.3))
    starts = [[int(value) // 10 for value in part.observations[:, 0, 0]] for part in data.splits]
    assert starts[0] == list(range(10))
    assert (len(starts[1]), len(starts[2])) == (4, 6)
    assert sorted(starts[0] + starts[1] + starts[2]) == list(range(20))
    again = TrajectoryDataModule(episodes((5,) * 20), num_demonstrations=10, fractions=(0.2, 0.3))
    assert torch.equal(again.splits.val.observations, data.splits.val.observations)
    other = TrajectoryDataModule(episodes((5,) * 20), num_demonstrations=10, fractions=(0.2, 0.3), seed=1)
    assert not torch.equal(other.splits.val.observations, data.splits.val.observations)


def test_observations_are_normalised_by_the_training_part():
    data = TrajectoryDataModule(episodes((5, 5, 5, 5)), num_demonstrations=2)
    seen = torch.cat([torch.arange(5.0), 10 + torch.arange(5.0)])
    assert data.event["observation_location"][0] == pytest.approx(seen.mean().item())
    assert data.event["observation_scale"][0] == pytest.approx(seen.std().item())
    plain = TrajectoryDataModule(episodes((5, 5, 5, 5)), num_demonstrations=2, normalise=False)
    assert plain.event["observation_scale"] == [1.0]


def test_actions_are_clipped_as_the_environment_did():
    data = TrajectoryDataModule(episodes(discrete=False), num_demonstrations=2, action_low=[-0.25], action_high=[0.25])
    assert data.event["base_measure"] == "clipped"
    assert data.splits.train.actions[0, :, 0].tolist() == [-0.25, -0.25, 0.0, 0.25, 0.25]
    free = TrajectoryDataModule(episodes(discrete=False), num_demonstrations=2)
    assert free.event["base_measure"] == "lebesgue"


def test_images_are_scaled_to_the_unit_interval():
    frames = [np.full((4, 3, 8, 8), 51, dtype=np.uint8)] * 3
    data = TrajectoryDataModule(Demonstrations(frames, [np.zeros(3, dtype=int)] * 3), normalise=False)
    assert data.splits.train.observations.unique().item() == pytest.approx(0.2)
    assert data.event["observation_shape"] == [3, 8, 8]


def test_batches_are_trajectories():
    data = TrajectoryDataModule(episodes((5,) * 12), num_demonstrations=8, batch_size=4, steps_per_epoch=3)
    batches = list(data.train_dataloader())
    assert len(batches) == 3
    assert all(isinstance(batch.samples, Trajectory) and count(batch.samples) == 4 for batch in batches)
    assert all(batch.log_det.shape == (4,) for batch in batches)


@pytest.mark.parametrize("name", ["pendulum", "cartpole"])
def test_experts_ship(name):
    data = TrajectoryDataModule(name, num_demonstrations=10, absorbing=name == "cartpole")
    assert data.event["horizon"] == {"pendulum": 200, "cartpole": 500}[name]
    assert data.expert_return > {"pendulum": -150, "cartpole": 475}[name]


def broken(tmp_path, **changes):
    path = tmp_path / "broken.npz"
    arrays = {"obs": np.zeros((8, 2)), "acts": np.zeros(6, dtype=int), "indices": np.array([3])} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"obs": np.zeros((7, 2))}, "obs has 7 rows; 6 actions in 2 trajectories need 8"),
        ({"indices": np.array([3, 2])}, "indices must rise"),
        ({"indices": np.array([9])}, "indices must rise"),
        ({"indices": np.array([0.5])}, "indices has shape"),
        ({"indices": None}, "lacks indices"),
        ({"rews": np.zeros(5)}, "rews has 5 rows"),
        ({"acts": np.array([None] * 6)}, "truncated or no .npz"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        read_npz(broken(tmp_path, **changes))


def test_a_truncated_file_and_none_at_all(tmp_path):
    path = tmp_path / "half.npz"
    write_npz(path, episodes())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="truncated"):
        read_npz(path)
    with pytest.raises(FileNotFoundError, match="did you mean pendulum"):
        TrajectoryDataModule("pendulun")


def replaced(demos, part, episode, step, value):
    parts = [array.copy().astype(float) if part != "actions" else array.copy() for array in getattr(demos, part)]
    parts[episode][step] = value
    return {part: parts}


@pytest.mark.parametrize("part", ["observations", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(part, value):
    demos = episodes(name="mine.npz")
    fields = {name: getattr(demos, name) for name in ("observations", "actions", "rewards")}
    with pytest.raises(ValueError, match=r"mine.npz, trajectory 2, step 3"):
        Demonstrations(**(fields | replaced(demos, part, 2, 3, value)), name="mine.npz")


@pytest.mark.parametrize(
    ("demos", "options", "words"),
    [
        (episodes((5, 4, 5)), {}, "trajectory 1: 4 steps, less than the horizon of 5"),
        (episodes((5, 6, 5)), {"horizon": 5}, "trajectory 1: 6 steps, more than the horizon"),
        (episodes((5, 5)), {}, "at least 3"),
        (episodes((5,)), {}, "at least 3"),
        (episodes(), {"num_demonstrations": 3}, "between 1 and 2"),
        (episodes(), {"num_actions": 1}, "trajectory 0, step 1: action 1 is none of 0 to 0"),
        (episodes(discrete=False), {"action_low": [0.0], "action_high": [0.2, 1.0]}, "an action has 1"),
        (
            episodes(discrete=False),
            {"action_low": [-0.5], "action_high": [0.5], "base_measure": "lebesgue"},
            "8 of 20 actions lie on or beyond the bounds|4 of 20|actions lie on",
        ),
        (episodes(), {"fractions": (0.0, 0.1)}, "fractions"),
        (episodes(), {"batch_size": 50}, "batch_size is 50"),
    ],
)
def test_what_does_not_fit_is_refused(demos, options, words):
    with pytest.raises(ValueError, match=words):
        TrajectoryDataModule(demos, **options)


def test_lengths_must_fit():
    with pytest.raises(ValueError, match="one observation more"):
        Demonstrations([np.zeros((3, 2))], [np.zeros(3, dtype=int)])
    with pytest.raises(ValueError, match="no step"):
        Demonstrations([np.zeros((1, 2))], [np.zeros(0, dtype=int)])
    with pytest.raises(ValueError, match="no trajectory"):
        Demonstrations([], [])
