"""Data sets of Minari and of ``imitation``. Tests that need a reader which is not installed are skipped; what is said
without it is always tested.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lightning_irl.datamodules import TrajectoryDataModule, read_huggingface, read_minari

LENGTHS = (4, 2, 4)
OBSERVATIONS = [
    np.random.default_rng(n).normal(size=(length + 1, 3)).astype(np.float32) for n, length in enumerate(LENGTHS)
]
ACTIONS = [
    np.random.default_rng(9 + n).uniform(-1, 1, (length, 2)).astype(np.float32) for n, length in enumerate(LENGTHS)
]
REWARDS = [np.arange(length, dtype=np.float64) for length in LENGTHS]
TERMINAL = [False, True, False]
BOX = {"type": "Box", "dtype": "float32", "shape": [2], "low": [-1.0, -1.0], "high": [1.0, 1.0]}
SEEN = {"type": "Box", "dtype": "float32", "shape": [3], "low": [-np.inf] * 3, "high": [np.inf] * 3}


def same(found, expected):
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


# ---- Minari


def minari_folder(folder, observation=SEEN, action=BOX, observations=OBSERVATIONS, actions=ACTIONS, data_format="hdf5"):
    """Files as Minari 0.5 writes them."""
    (folder / "data").mkdir(parents=True)
    spec = {"id": "Reach-v0", "max_episode_steps": 4}
    described = {
        "total_episodes": len(actions),
        "data_format": data_format,
        "observation_space": json.dumps(observation),
        "action_space": json.dumps(action),
        "env_spec": json.dumps(spec),
    }
    (folder / "data" / "metadata.json").write_text(json.dumps(described))
    if data_format == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "data" / "main_data.hdf5", "w") as file:
            for index, (seen, done, rewards, ended) in enumerate(
                zip(observations, actions, REWARDS, TERMINAL, strict=True)
            ):
                group = file.create_group(f"episode_{index}")
                flags = np.arange(len(done)) == len(done) - 1
                for key, value in {
                    "observations": seen,
                    "actions": done,
                    "rewards": rewards,
                    "terminations": flags & ended,
                    "truncations": flags & (not ended),
                }.items():
                    group[key] = value
    return folder


def test_minari_hdf5(tmp_path):
    found = read_minari(minari_folder(tmp_path / "reach"))
    assert same(found.observations, OBSERVATIONS)
    assert same(found.actions, ACTIONS)
    assert same(found.rewards, REWARDS)
    assert found.terminal == TERMINAL
    assert found.metadata == {
        "environment": "Reach-v0",
        "horizon": 4,
        "action_low": [-1.0, -1.0],
        "action_high": [1.0, 1.0],
    }
    data = TrajectoryDataModule(str(tmp_path / "reach"), absorbing=True, num_demonstrations=1)
    assert data.event["base_measure"] == "clipped"
    assert data.event["horizon"] == 4


def test_a_minari_id_is_found_where_minari_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    minari_folder(tmp_path / "reach" / "expert-v0")
    for format in ("auto", "minari"):
        assert TrajectoryDataModule("reach/expert-v0", format, absorbing=True).event["observation_shape"] == [3]
    with pytest.raises(FileNotFoundError, match=r"did you mean reach/expert-v0\?; `minari download reach/expart-v0`"):
        TrajectoryDataModule("reach/expart-v0", "minari")


def test_discrete_spaces_of_minari(tmp_path):
    space = {"type": "Discrete", "dtype": "int64", "start": 1, "n": 3}
    states = [1 + np.arange(length + 1) % 3 for length in LENGTHS]
    done = [1 + np.arange(length) % 3 for length in LENGTHS]
    found = read_minari(minari_folder(tmp_path / "grid", space, space, states, done))
    assert found.metadata["num_actions"] == 3
    assert found.actions[0].tolist() == [0, 1, 2, 0]
    assert found.observations[0].tolist() == np.eye(3)[[0, 1, 2, 0, 1]].tolist()


def test_infinite_bounds_are_none(tmp_path):
    found = read_minari(minari_folder(tmp_path / "reach", action=BOX | {"low": [-np.inf] * 2, "high": [np.inf] * 2}))
    assert "action_low" not in found.metadata


def test_what_is_not_hdf5_is_read_by_minari_itself(tmp_path, monkeypatch):
    def episodes(indices):
        return [
            SimpleNamespace(
                observations=OBSERVATIONS[i],
                actions=ACTIONS[i],
                rewards=REWARDS[i],
                terminations=np.array([False] * (LENGTHS[i] - 1) + [TERMINAL[i]]),
            )
            for i in indices
        ]

    opened = []

    def dataset(path):
        opened.append(path)
        return SimpleNamespace(iterate_episodes=episodes)

    monkeypatch.setitem(sys.modules, "minari", SimpleNamespace(MinariDataset=dataset))
    found = read_minari(minari_folder(tmp_path / "reach", data_format="parquet"))
    assert opened == [str(tmp_path / "reach" / "data")]
    assert same(found.observations, OBSERVATIONS)
    assert found.terminal == TERMINAL


def test_bad_minari_folders(tmp_path, monkeypatch):
    mixed = {"type": "Dict", "subspaces": {}}
    with pytest.raises(ValueError, match="observations are a Dict; only Box and Discrete are read"):
        read_minari(minari_folder(tmp_path / "dict", observation=mixed, data_format="parquet"))
    minari_folder(tmp_path / "reach", data_format="parquet")
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(
        ValueError, match=r"minari is needed to read .*reach, and is not installed: pip install 'minari\["
    ):
        TrajectoryDataModule(str(tmp_path / "reach"))
    described = tmp_path / "reach" / "data" / "metadata.json"
    described.write_text(described.read_text().replace("parquet", "hdf5"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "h5py", None)
        with pytest.raises(
            ValueError, match=r"h5py is needed to read .*reach, and is not installed: pip install 'h5py'"
        ):
            TrajectoryDataModule(str(tmp_path / "reach"))
    described.write_text("{")
    with pytest.raises(ValueError, match=r"reach is not a Minari data set of version 0\.5 or later"):
        TrajectoryDataModule(str(tmp_path / "reach"))


def test_a_truncated_minari_file(tmp_path):
    folder = minari_folder(tmp_path / "reach")
    path = folder / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"main_data\.hdf5 is truncated or not an HDF5 file"):
        read_minari(folder)
    described = folder / "data" / "metadata.json"
    described.write_text(described.read_text().replace('"total_episodes": 3', '"total_episodes": 4'))
    path.unlink()
    minari_folder(tmp_path / "other")
    (tmp_path / "other" / "data" / "main_data.hdf5").rename(path)
    with pytest.raises(ValueError, match=r"main_data\.hdf5 is truncated .*episode_3"):
        read_minari(folder)


# ---- imitation


def columns(**changes):
    fields = {
        "obs": [part.tolist() for part in OBSERVATIONS],
        "acts": [part.tolist() for part in ACTIONS],
        "infos": [["{}"] * length for length in LENGTHS],
        "terminal": TERMINAL,
        "rews": [part.tolist() for part in REWARDS],
    } | changes
    return {key: value for key, value in fields.items() if value is not None}


def huggingface_folder(folder, shards=1, **changes):
    """Files as ``datasets`` 5 writes them."""
    pyarrow = pytest.importorskip("pyarrow")
    types = {"obs": pyarrow.list_(pyarrow.list_(pyarrow.float32()))}
    types["acts"] = types["obs"]
    fields = columns(**changes)
    table = pyarrow.table(
        {key: pyarrow.array(value, None if key in changes else types.get(key)) for key, value in fields.items()}
    )
    folder.mkdir()
    names = [f"data-{index:05d}-of-{shards:05d}.arrow" for index in range(shards)]
    for index, name in enumerate(names):
        with pyarrow.ipc.new_stream(str(folder / name), table.schema) as stream:
            stream.write_table(table.slice(index * 3 // shards, (index + 1) * 3 // shards - index * 3 // shards))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_folder_of_imitation(tmp_path, shards):
    found = read_huggingface(huggingface_folder(tmp_path / "saved", shards))
    assert same(found.observations, OBSERVATIONS)
    assert same(found.actions, ACTIONS)
    assert same(found.rewards, REWARDS)
    assert found.terminal == TERMINAL
    data = TrajectoryDataModule(str(tmp_path / "saved"), absorbing=True, num_demonstrations=1)
    assert np.array_equal(data.splits.train.observations[0], OBSERVATIONS[0])
    assert data.returns.train.tolist() == [6.0]


def test_discrete_actions_and_no_rewards(tmp_path):
    found = read_huggingface(
        huggingface_folder(tmp_path / "saved", acts=[[1] * length for length in LENGTHS], rews=None)
    )
    assert found.rewards is None
    assert found.actions[1].dtype == np.int64
    assert found.actions[1].tolist() == [1, 1]


def test_what_datasets_itself_writes(tmp_path):
    datasets = pytest.importorskip("datasets")
    pixels = [np.random.default_rng(n).integers(0, 255, (n + 2, 4, 4, 1)).astype(np.uint8) for n in range(3)]
    table = datasets.Dataset.from_dict(columns(obs=pixels, acts=[[0] * (n + 1) for n in range(3)], rews=None))
    table.save_to_disk(str(tmp_path / "saved"))
    found = read_huggingface(tmp_path / "saved")
    assert same(found.observations, pixels)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"obs": None}, "lacks the columns obs; it has acts"),
        ({"obs": [[[1.0, 2.0], [3.0]]] * 3}, "saved, trajectory 0, obs: rows of 2 different lengths"),
        ({"obs": [[[1.0, None]] * (n + 1) for n in LENGTHS]}, "saved, trajectory 0, obs: 5 values are missing"),
        ({"obs": [["a"] * (n + 1) for n in LENGTHS]}, "saved, trajectory 0, obs: values are of type string"),
        ({"rews": [[0.0] * 4, [0.0], [0.0] * 4]}, "saved, trajectory 1: 1 rewards and 2 actions"),
        ({"rews": [[0.0] * 4, [0.0, np.inf], [0.0] * 4]}, "saved, trajectory 1, step 1: reward is NaN or infinite"),
        ({"acts": [[[0.0]] * 4, None, [[0.0]] * 4]}, "saved, trajectory 1, acts is missing"),
    ],
)
def test_bad_columns(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        TrajectoryDataModule(str(huggingface_folder(tmp_path / "saved", **changes)), absorbing=True)


def test_bad_folders_of_imitation(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no state.json in nowhere; give the folder that save_to_disk wrote"):
        TrajectoryDataModule("nowhere", "huggingface")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match=r"holds the splits train, test; give the folder of one: .*train"):
        TrajectoryDataModule(str(tmp_path))
    (tmp_path / "dataset_dict.json").unlink()
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ValueError, match=r"pyarrow is needed to read .* pip install 'pyarrow'"):
            TrajectoryDataModule(str(tmp_path))
    pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.arrow, which .*state\.json names"):
        TrajectoryDataModule(str(tmp_path))
    for content in (b"", b"no arrow at all, but some bytes"):
        (tmp_path / "gone.arrow").write_bytes(content)
        with pytest.raises(ValueError, match=r"gone\.arrow is truncated or not an Arrow file"):
            TrajectoryDataModule(str(tmp_path))
    whole = huggingface_folder(tmp_path / "saved") / "data-00000-of-00001.arrow"
    whole.write_bytes(whole.read_bytes()[:-600])
    with pytest.raises(ValueError, match=r"\.arrow is truncated or not an Arrow file"):
        TrajectoryDataModule(str(tmp_path / "saved"))
