"""Demonstrations as other people have them: files of other projects, lists, tensors, and what is not known in them."""

import json
import pickle
import sys

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule, read_hdf5, read_npz, write_npz
from lightning_irl.datamodules.importers import read

LENGTHS = (5, 3, 4)
STEPS = sum(LENGTHS)
LAST = np.isin(np.arange(STEPS), np.cumsum(LENGTHS) - 1)
TERMINALS = LAST & (np.arange(STEPS) == 7)  # the second episode alone was ended by the environment
ROW = {
    "observations": np.arange(2.0 * STEPS).reshape(STEPS, 2),
    "actions": np.linspace(-1, 1, STEPS)[:, None],
    "rewards": np.arange(1.0, STEPS + 1),
    "terminals": TERMINALS,
    "timeouts": LAST & ~TERMINALS,
}
SB2 = {
    "obs": ROW["observations"],
    "actions": ROW["actions"],
    "rewards": ROW["rewards"][:, None],
    "episode_returns": np.zeros(3),
    "episode_starts": np.roll(LAST, 1),
}


@pytest.fixture
def said(monkeypatch):
    """What is said, a line each."""
    lines = []
    for module in ("demonstrations", "flat", "preparation"):
        for name in ("rank_zero_warn", "rank_zero_info"):
            target = f"lightning_irl.datamodules.{module}"
            if hasattr(sys.modules[target], name):
                monkeypatch.setattr(f"{target}.{name}", lambda text, *a, **k: lines.append(text))
    return lines


def to_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


def is_cut(found):
    """Each episode without its last step, whose successor nobody knows."""
    assert found.lengths == [4, 2, 3]
    starts = [0, 5, 8]
    for seen, done, start, length in zip(found.observations, found.actions, starts, LENGTHS, strict=True):
        assert np.array_equal(seen, ROW["observations"][start : start + length])
        assert np.array_equal(done, ROW["actions"][start : start + length - 1])
    return True


@pytest.mark.parametrize("kind", ["npz", "hdf5", "sb2"])
def test_a_row_of_steps_is_cut_into_episodes(tmp_path, said, kind):
    path = tmp_path / "some.file"
    if kind == "hdf5":
        to_hdf5(path, ROW | {"infos/qpos": np.zeros((STEPS, 4))})
    else:
        with path.open("wb") as file:
            np.savez(file, **(SB2 if kind == "sb2" else ROW))
    found = read(path)
    assert is_cut(found)
    assert found.terminal == (None if kind == "sb2" else [False, True, False])
    # the reward of the step that is left out counts where the episode ended there, as the policy's does
    assert found.returns == [10, 13 if kind == "sb2" else 21, 30]
    assert any("the state after the last action is not known in 3 of 3" in line for line in said)


def test_next_observations_tell_the_last_state(tmp_path, said):
    arrays = ROW | {"next_observations": ROW["observations"] + 1}
    np.savez(tmp_path / "d4rl.npz", **arrays)
    found = read(tmp_path / "d4rl.npz")
    assert found.lengths == list(LENGTHS)
    assert found.observations[1][-1].tolist() == [15, 16]
    assert not said


def test_steps_after_the_last_end_are_left_out_and_said(tmp_path, said):
    np.savez(tmp_path / "d4rl.npz", **(ROW | {"timeouts": ROW["timeouts"] & (np.arange(STEPS) < 11)}))
    assert read(tmp_path / "d4rl.npz").lengths == [4, 2]
    assert any("the last 4 of 12 steps belong to an unfinished episode" in line for line in said)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeouts": None}, "has terminals but no timeouts"),
        (
            {"terminals": np.zeros(STEPS), "timeouts": np.zeros(STEPS)},
            "none of the 12 steps is marked as an episode's last",
        ),
        ({"rewards": np.zeros(5)}, "rewards has 5 rows, actions 12"),
        (
            {"timeouts": None, "terminals": None},
            r"lacks obs, indices; it has observations \(12, 2\), actions \(12, 1\)",
        ),
    ],
)
def test_a_row_of_steps_that_cannot_be_cut(tmp_path, changes, words):
    np.savez(tmp_path / "some.npz", **{key: value for key, value in (ROW | changes).items() if value is not None})
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "some.npz")


def test_where_next_observations_jump_an_episode_ended(tmp_path):
    after = ROW["observations"] + 2  # of each step the next row, but for the last of an episode
    after[LAST] += 0.5
    np.savez(tmp_path / "some.npz", next_observations=after, **{k: v for k, v in ROW.items() if k != "timeouts"})
    found = read(tmp_path / "some.npz")
    assert found.lengths == [5, 3]  # whether the last one ended there is not told
    assert found.terminal == [False, True]


def test_groups_of_hdf5(tmp_path, said):
    arrays = {}
    for index in range(11):
        arrays |= {f"data/demo_{index}/obs/eef": np.full((4, 3), index), f"data/demo_{index}/actions": np.zeros((4, 2))}
    to_hdf5(tmp_path / "robomimic.hdf5", arrays)
    found = read(tmp_path / "robomimic.hdf5")
    assert found.lengths == [3] * 11
    assert [int(seen[0, 0]) for seen in found.observations] == list(range(11))  # 2 before 10
    assert found.rewards is None
    arrays |= {f"data/demo_{index}/next_obs/eef": np.full((4, 3), 99) for index in range(11)}
    to_hdf5(tmp_path / "robomimic.hdf5", arrays)
    assert read(tmp_path / "robomimic.hdf5").lengths == [4] * 11
    arrays |= {f"data/demo_{index}/obs/cube": np.zeros((4, 3)) for index in range(11)}
    to_hdf5(tmp_path / "robomimic.hdf5", arrays)
    with pytest.raises(ValueError, match=r"demo_0: obs are cube, eef; which of them .* write_npz"):
        read(tmp_path / "robomimic.hdf5")


def test_hdf5_of_something_else(tmp_path):
    to_hdf5(tmp_path / "x.h5", {"weights/kernel": np.zeros((4, 3))})
    with pytest.raises(ValueError, match=r"without demonstrations; it has weights/kernel \(4, 3\)"):
        read(tmp_path / "x.h5")
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"x\.h5 is truncated or not an HDF5"):
        read_hdf5(tmp_path / "x.h5")


def test_minari_before_05(tmp_path):
    """What describes the data is in the attributes of the HDF5 file."""
    (tmp_path / "old-v0" / "data").mkdir(parents=True)
    path = tmp_path / "old-v0" / "data" / "main_data.hdf5"
    arrays = {"observations": np.zeros((4, 2)), "actions": np.array([1, 2, 1]), "rewards": np.ones(3)}
    flags = {"terminations": np.array([0, 0, 1]), "truncations": np.zeros(3)}
    to_hdf5(path, {f"episode_{i}/{key}": value for i in range(3) for key, value in (arrays | flags).items()})
    with h5py.File(path, "a") as file:
        file.attrs["total_episodes"] = 3
        file.attrs["env_spec"] = json.dumps({"id": "Old-v0", "max_episode_steps": 9})
        file.attrs["action_space"] = json.dumps({"type": "Discrete", "start": 1, "n": 4})
    for source in (tmp_path / "old-v0", path):
        found = read(source)
        assert found.lengths == [3, 3, 3]
        assert found.terminal == [True] * 3
        assert found.actions[0].tolist() == [0, 1, 0]
        assert found.metadata == {"environment": "Old-v0", "horizon": 9, "num_actions": 4}


def test_parquet_of_trajectories_and_of_steps(tmp_path, said):
    rows = {
        "obs": [[[float(k)] * 2 for k in range(n + 1)] for n in LENGTHS],
        "acts": [[[0.5]] * n for n in LENGTHS],
        "rews": [[1.0] * 5, None, [1.0, None, 1.0, 1.0]],
        "terminal": [True, None, False],
    }
    (tmp_path / "data").mkdir()
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "data" / "train-00000-of-00001.parquet")
    for source in (tmp_path, tmp_path / "data" / "train-00000-of-00001.parquet"):
        found = read(source)
        assert found.lengths == list(LENGTHS)
        assert found.terminal == [True, None, False]
        assert np.isnan(found.returns).tolist() == [False, True, True]
    assert any("rewards of 2 of 3 trajectories are NaN and taken as not known" in line for line in said)
    steps = {
        "observation.state": list(ROW["observations"].tolist()),
        "action": ROW["actions"].tolist(),
        "episode_index": np.repeat([0, 1, 2], LENGTHS),
        "task": ["push"] * STEPS,
    }
    pyarrow.parquet.write_table(pyarrow.table(steps), tmp_path / "steps.parquet")
    assert is_cut(read(tmp_path / "steps.parquet"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "steps.parquet")
    with pytest.raises(ValueError, match="lacks the columns obs, acts; it has text"):
        read(tmp_path / "steps.parquet")


def test_what_is_not_read_is_called_by_its_name(tmp_path):
    torch.save({"obs": torch.zeros(3)}, tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps([{"obs": [1]}]))
    (tmp_path / "c.npz").write_text("a,b\n1,2\n")
    (tmp_path / "d.npz").write_text('{"obs": []}\n')
    for name, kind in {"a": "a file of torch.save", "b": "a pickle", "c": "a table of text", "d": "JSON"}.items():
        with pytest.raises(ValueError, match=rf"{name}\.npz is {kind}.* write_npz") as caught:
            read(tmp_path / f"{name}.npz")
        assert "truncated" not in str(caught.value)


def test_a_file_that_is_torn_in_its_middle_is_truncated(tmp_path):
    np.savez(tmp_path / "d4rl.npz", **ROW)
    content = (tmp_path / "d4rl.npz").read_bytes()
    (tmp_path / "d4rl.npz").write_bytes(content[:700])
    with pytest.raises(ValueError, match="truncated"):
        read(tmp_path / "d4rl.npz")


# ---- objects


@pytest.mark.parametrize(
    "convert", [np.ndarray.tolist, torch.tensor, lambda part: torch.tensor(part, requires_grad=part.dtype.kind == "f")]
)
@pytest.mark.parametrize("is_discrete", [True, False])
def test_lists_and_tensors_are_arrays(convert, is_discrete):
    seen = [np.arange(2.0 * n).reshape(n, 2) for n in (4, 3, 5)]
    done = [np.arange(len(part) - 1) % 2 if is_discrete else part[1:] / 4 for part in seen]
    plain = Demonstrations(seen, done, done if is_discrete else None)
    found = Demonstrations(
        [convert(p) for p in seen], [convert(p) for p in done], [convert(p) for p in done] if is_discrete else None
    )
    for ours, theirs in zip(found.observations + found.actions, plain.observations + plain.actions, strict=True):
        assert np.array_equal(ours, theirs)
        assert ours.dtype.kind == theirs.dtype.kind
    assert found.returns == plain.returns
    assert TrajectoryDataModule(found, absorbing=True).event == TrajectoryDataModule(plain, absorbing=True).event


def test_half_precision_one_array_and_columns_of_integers():
    seen = torch.zeros(3, 5, 2, dtype=torch.bfloat16)
    found = Demonstrations(seen, np.zeros((3, 4, 1), dtype=int))
    assert found.actions[0].shape == (4,)
    assert TrajectoryDataModule(found).event["num_actions"] == 2
    with pytest.raises(ValueError, match="trajectory 0, not an array of numbers"):
        Demonstrations([[[0.0, 1.0], [0.0]]] * 3, [[0]] * 3)


def test_a_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path / "mine.npz", Demonstrations([np.zeros((4, 2))] * 3, [np.zeros((3, 1))] * 3))
    assert read("~/mine.npz").lengths == [3, 3, 3]


# ---- what is not known


def demos(**changes):
    fields = {
        "observations": [np.arange(8.0).reshape(4, 2) + 10 * n for n in range(4)],
        "actions": [np.array([0, 1, 1])] * 4,
        "rewards": [np.ones(3)] * 4,
    }
    return Demonstrations(**(fields | changes))


def test_rewards_that_are_not_known_refuse_nothing(said):
    found = demos(rewards=[np.full(3, np.nan)] * 4)
    assert found.returns is None
    assert said == [
        "demonstrations: rewards of 4 of 4 trajectories are NaN and taken as not known; without them there is no "
        "expert return, and reports give no normalised return"
    ]
    data = TrajectoryDataModule(demos(rewards=[np.ones(3), np.ones(3), None, [1, None, 1]]), fractions=(0.25, 0.25))
    assert data.expert_return == 3
    assert int(sum(torch.isnan(part).sum() for part in data.returns)) == 2


def test_terminals_that_are_not_known_survive_a_file(tmp_path):
    flags = [True, None, False, np.nan]
    written = demos(terminal=flags)
    assert written.terminal == [True, None, False, None]
    write_npz(tmp_path / "mine.npz", written)
    assert read_npz(tmp_path / "mine.npz").terminal == [True, None, False, None]
    data = TrajectoryDataModule(written, absorbing=True, horizon=3, trust_terminal=True, fractions=(0, 0))
    assert data.splits.train.terminal.tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match="trajectory 2: 3 steps, less than the horizon of 5, but terminal says"):
        TrajectoryDataModule(written, absorbing=True, horizon=5)
    with pytest.raises(ValueError, match="trajectory 1: terminal is 7; allowed: true, false, or null"):
        demos(terminal=[True, 7, False, False])


def test_a_last_state_that_is_not_known(tmp_path, said):
    seen = [part.copy() for part in demos().observations]
    for part in seen:
        part[-1] = np.nan
    found = demos(observations=seen, metadata={"horizon": 3})
    assert found.lengths == [2] * 4
    assert found.returns == [2] * 4
    assert TrajectoryDataModule(found).event["horizon"] == 2
    assert len(said) == 1
    arrays = {"obs": np.zeros((6, 2)), "acts": np.zeros(6, dtype=int), "indices": np.array([3])}
    np.savez(tmp_path / "mine.npz", **arrays)
    assert read_npz(tmp_path / "mine.npz").lengths == [2, 2]


# ---- what is invalid


def invalid():
    seen, done = list(demos().observations), list(demos().actions)
    seen[1] = seen[1].copy()
    seen[1][2, 0] = np.nan
    seen[0], done[0] = np.zeros((4, 3)), done[0]
    return {
        "observations": [*seen, np.zeros((1, 2)), [[0.0], [0.0, 1.0]], seen[2]],
        "actions": [*done, np.zeros(0, dtype=int), [0], done[2]],
        "rewards": [np.ones(3)] * 4 + [np.ones(0), np.ones(1), np.ones(3)],
    }


def test_invalid_trajectories_are_left_out_when_asked_to(said):
    with pytest.raises(ValueError, match=r"trajectory 1.*shape \[2\].*, trajectory 0 has \[3\]"):
        demos(**invalid())
    found = demos(**invalid(), skip_invalid=True)
    assert found.lengths == [3, 3, 3]
    assert [float(seen[0, 0]) for seen in found.observations] == [20, 30, 20]
    assert len(found.rewards) == 3
    (line,) = said
    assert line.startswith("demonstrations: 4 of 7 trajectories are left out: trajectory 0: observations of shape [3]")
    assert "trajectory 1, step 2: observation is NaN" in line
    with pytest.raises(ValueError, match="all 4 trajectories are invalid and none is left: trajectory 0, step 0"):
        demos(
            observations=[np.full((4, 2), np.nan) * np.array([1, 1])] * 4, actions=[np.zeros(3)] * 4, skip_invalid=True
        )


def test_invalid_rows_of_a_file_and_episodes_cut_short(tmp_path, said):
    rows = {
        "obs": [
            [[0.0, 1.0]] * 4,
            None,
            [[0.0], [0.0, 1.0]],
            [[0.0, None]] * 4,
            *[[[0.0, 1.0]] * 4] * 3,
            [[0.0, 1.0]] * 3,
        ],
        "acts": [[0, 1, 1]] * 7 + [[0, 1]],
        "terminal": [False] * 8,
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="trajectory 1, obs is missing"):
        TrajectoryDataModule(str(tmp_path / "a.parquet"))
    data = TrajectoryDataModule(str(tmp_path / "a.parquet"), absorbing=True, skip_invalid=True, fractions=(0, 0))
    assert len(data.splits.train.mask) == 4
    assert "3 of 8 trajectories are left out" in said[0]
    assert "1 of 5 trajectories are left out: 2 steps, less than the horizon of 3" in said[1]


# ---- the command line


@pytest.mark.long
@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt"])
def test_a_path_is_a_path_whatever_the_file_says(tmp_path, monkeypatch, capfd, ending):
    """The parser takes no file's content for the value of an option that is text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-irl"])
    (tmp_path / f"demos.{ending}").write_text({"csv": "a,b\n1,2\n", "txt": "hello\n", "jsonl": "{}\n"}[ending])
    assert main(["fit", "--config", "irl/pendulum", f"--data.source=demos.{ending}"]) == 2
    assert f"demos.{ending} is " in capfd.readouterr().err
