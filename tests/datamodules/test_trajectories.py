"""Demonstrations from files and from memory, and what is wrong with some of them."""

import logging
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lightning_irl.datamodules import Demonstrations, TrajectoryDataModule, read_npz, write_npz
from lightning_irl.spaces.samples import count
from lightning_irl.spaces.trajectory import Trajectory, cut


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
    assert found.terminal == written.terminal
    assert found.log_probs is None
    assert list(tmp_path.iterdir()) == [path]  # nothing is left beside it


@pytest.mark.parametrize("lengths", [(4,), (1, 1, 1), (2, 7)])
@pytest.mark.parametrize("discrete", [True, False])
def test_any_lengths_and_types_survive_a_file(tmp_path, lengths, discrete):
    written = episodes(lengths, discrete, log_probs=[np.linspace(-2, 0, n) for n in lengths])
    write_npz(tmp_path / "some.npz", written)
    found = read_npz(tmp_path / "some.npz")
    for part in ("observations", "actions", "rewards", "log_probs"):
        for ours, theirs in zip(getattr(found, part), getattr(written, part), strict=True):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_a_file_stays_whole_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "some.npz"
    write_npz(path, episodes())

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        write_npz(path, episodes((3,)))
    assert read_npz(path).lengths == [5, 5, 5, 5]
    assert list(tmp_path.iterdir()) == [path]


def test_who_reads_a_file_that_is_written_anew_sees_the_old_one(tmp_path):
    path = tmp_path / "some.npz"
    write_npz(path, episodes())
    with path.open("rb") as reader:
        write_npz(path, episodes((3, 3)))
        path.with_suffix(".old").write_bytes(reader.read())
    assert read_npz(path.with_suffix(".old")).lengths == [5, 5, 5, 5]
    assert read_npz(path).lengths == [3, 3]


def test_what_a_file_says_is_the_default_and_arguments_win(tmp_path):
    path = str(tmp_path / "mine.npz")
    said = {"horizon": 8, "action_low": [-0.4], "action_high": [0.4], "environment": "Mine-v0"}
    write_npz(path, episodes(discrete=False, metadata=said))
    event = TrajectoryDataModule(path, absorbing=True).event
    assert (event["horizon"], event["action_low"], event["action_high"]) == (8, [-0.4], [0.4])
    event = TrajectoryDataModule(path, horizon=5, action_low=[-9], action_high=[9.0]).event
    assert (event["horizon"], event["action_low"], event["action_high"]) == (5, [-9], [9])


def test_arrays_of_other_names_are_not_read(tmp_path):
    """Files of ``imitation`` before version 1 carry pickled infos."""
    arrays = {"obs": np.zeros((8, 2)), "acts": np.zeros(6, dtype=int), "indices": np.array([3])}
    np.savez(tmp_path / "old.npz", infos=np.array([{}] * 6), **arrays)
    assert read_npz(tmp_path / "old.npz").lengths == [3, 3]


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


def test_by_default_the_seed_draws_what_is_held_out():
    def starts(seed):
        data = TrajectoryDataModule(episodes((2,) * 30), fractions=(0.2, 0.1), seed=seed)
        return [[int(value) // 10 for value in part.observations[:, 0, 0]] for part in data.splits]

    first = starts(0)
    assert [len(part) for part in first] == [21, 6, 3]
    assert sorted(first[0] + first[1] + first[2]) == list(range(30))
    assert first == starts(0)
    assert set(first[1] + first[2]) != set(starts(1)[1] + starts(1)[2])


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


def test_how_many_actions_are_clipped_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="pytorch_lightning"):
        demos = episodes(discrete=False, name="mine.npz")
        TrajectoryDataModule(demos, num_demonstrations=2, action_low=[-0.25], action_high=[0.25])
    (message,) = [record.getMessage() for record in caplog.records]
    assert "mine.npz: 8 of 20 actions (40.0%) are beyond the bounds and are clipped" in message
    assert message.endswith("80.0% are on a bound")


def test_padding_counts_neither_as_clipped_nor_in_moments(caplog):
    """Zeros after an early end lie outside these bounds, and the last observation repeats."""
    demos = episodes((5, 2, 5, 5), discrete=False)
    with caplog.at_level(logging.INFO, logger="pytorch_lightning"):
        data = TrajectoryDataModule(demos, absorbing=True, num_demonstrations=2, action_low=[-0.6], action_high=[-0.1])
    assert "9 of 17 actions" in caplog.text
    seen = torch.tensor([0.0, 1, 2, 3, 4, 10, 11])
    assert data.event["observation_location"] == pytest.approx([seen.mean().item(), -11 / 7])
    assert data.event["observation_scale"][0] == pytest.approx(seen.std().item())


def test_a_constant_coordinate_has_scale_one():
    observations = [np.stack([np.full(4, 0.1), np.full(4, 1e4), 1e-9 * np.arange(4)], 1, dtype=np.float32)] * 3
    data = TrajectoryDataModule(Demonstrations(observations, [np.zeros((3, 1))] * 3))
    scale = data.event["observation_scale"]
    assert scale[:2] == [1.0, 1.0]
    assert scale[2] == pytest.approx(1e-9)  # small, but it varies


@pytest.mark.parametrize(
    ("noise", "other", "is_constant"),
    [
        (1e-12, 0.3, True),
        (1e-8, 0.3, True),
        (1e-4, 0.3, True),
        (1e-2, 0.3, False),  # a small angle, say
        (1e-4, 1e-3, False),  # all in large units
        (0.3, 1e3, False),  # units of their own
        (1e-12, 1e-12, True),  # nothing but noise
    ],
)
def test_noise_of_a_coordinate_that_hardly_changes_is_not_blown_up(caplog, noise, other, is_constant):
    rng = np.random.default_rng(0)
    observations = [rng.normal(size=(20, 2)) * [other, noise] for _ in range(5)]
    with caplog.at_level("INFO"):
        data = TrajectoryDataModule(Demonstrations(observations, [np.zeros((19, 1))] * 5))
    scale = data.event["observation_scale"][1]
    if is_constant:
        assert scale == 1
        assert "hardly changes" in caplog.text
        assert "coordinate 1 of" in caplog.text or other == noise
    else:
        assert scale == pytest.approx(noise, rel=0.2)
        assert "hardly changes" not in caplog.text


def test_discrete_actions_stored_as_floats_are_discrete_when_said_so():
    demos = episodes()
    as_floats = Demonstrations(demos.observations, [actions.astype(np.float32) for actions in demos.actions])
    data = TrajectoryDataModule(as_floats, num_actions=3)
    assert data.event["num_actions"] == 3
    assert data.splits.train.actions.dtype == torch.long


def test_everything_is_served_in_single_precision():
    whole = TrajectoryDataModule(episodes(discrete=False)).splits.train
    assert [part.dtype for part in whole] == [torch.float32, torch.float32, torch.bool, torch.bool, torch.long]


def test_images_are_scaled_to_the_unit_interval():
    frames = [np.full((4, 3, 8, 8), 51, dtype=np.uint8)] * 3
    data = TrajectoryDataModule(Demonstrations(frames, [np.zeros(3, dtype=int)] * 3), normalise=False)
    assert data.splits.train.observations.unique().item() == pytest.approx(0.2)
    assert data.event["observation_shape"] == [3, 8, 8]
    frames = [np.random.default_rng(i).integers(0, 255, (4, 3, 8, 8)).astype(np.uint8) for i in range(3)]
    data = TrajectoryDataModule(Demonstrations(frames, [np.zeros(3, dtype=int)] * 3))
    seen = data.splits.train.observations[:, :-1]
    assert data.event["observation_location"] == pytest.approx([seen.mean().item()])  # one for all pixels
    assert data.event["observation_scale"] == pytest.approx([seen.std().item()])


def test_transitions_are_those_of_the_file():
    lengths = (5, 3, 4, 5)
    demos = episodes(lengths)
    data = TrajectoryDataModule(demos, absorbing=True, num_demonstrations=2)
    steps = cut(data.splits.train, 1)
    kept = steps.mask[:, 0]
    seen, after = (np.concatenate([part[k : len(part) - 1 + k] for part in demos.observations[:2]]) for k in (0, 1))
    assert np.array_equal(steps.observations[kept, 0], seen)
    assert np.array_equal(steps.observations[kept, 1], after)
    assert np.array_equal(steps.actions[kept, 0], np.concatenate(demos.actions[:2]))
    assert steps.time[kept, 0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert steps.terminal.nonzero().flatten().tolist() == [7, 8, 9]  # the step that ended it, and those after it
    assert steps.absorbed[:, 0].nonzero().flatten().tolist() == [8, 9]


def test_absorbing_where_nothing_ended():
    data = TrajectoryDataModule(episodes(), absorbing=True)
    assert data.event["absorbing"]
    assert all(part.mask.all() and not part.terminal.any() for part in data.splits)


def test_returns_of_each_part():
    demos = episodes((5, 3, 4, 5, 5))
    data = TrajectoryDataModule(demos, absorbing=True, num_demonstrations=3)
    assert data.returns.train.tolist() == [5, 3, 4]
    assert data.expert_return == pytest.approx(22 / 5)
    steps = np.arange(3, 15)
    data = TrajectoryDataModule(episodes(steps), absorbing=True, fractions=(0.2, 0.3))
    for found, part in zip(data.returns, data.splits, strict=True):  # with a reward of 1 a step
        assert found.tolist() == part.mask.sum(1).tolist()
    unknown = TrajectoryDataModule(episodes(rewards=False))
    assert unknown.returns is None
    assert np.isnan(unknown.expert_return)


def test_with_nothing_held_out_all_parts_are_the_training_part(caplog):
    with caplog.at_level(logging.INFO, logger="pytorch_lightning"):
        data = TrajectoryDataModule(episodes((5,)), fractions=(0, 0))
    assert "nothing is held out" in caplog.text
    assert all(torch.equal(part.observations, data.splits.train.observations) for part in data.splits)
    first = TrajectoryDataModule(episodes((5,) * 4), fractions=(0, 0), num_demonstrations=2)
    assert [count(part) for part in first.splits] == [2, 2, 2]


@pytest.mark.parametrize("number", range(3, 12))
@pytest.mark.parametrize("fractions", [(0.1, 0.1), (0.01, 0.98), (0.98, 0.01), (0.5, 0.4)])
@pytest.mark.parametrize("num_demonstrations", [None, 1, "most"])
def test_no_part_is_empty_and_none_overlap(number, fractions, num_demonstrations):
    num = number - 2 if num_demonstrations == "most" else num_demonstrations
    data = TrajectoryDataModule(episodes((2,) * number), num_demonstrations=num, fractions=fractions)
    starts = [value for part in data.splits for value in part.observations[:, 0, 0].tolist()]
    assert len(starts) == len(set(starts))
    assert min(count(part) for part in data.splits) >= 1
    if num is not None:
        assert count(data.splits.train) == num


def served(data, epoch=0, part="train"):
    loader = getattr(data, f"{part}_dataloader")()
    if part == "train":
        loader.sampler.set_epoch(epoch)
    return [[int(value) // 10 for value in batch.samples.observations[:, 0, 0]] for batch in loader]


def test_a_batch_is_all_training_demonstrations_by_default():
    data = TrajectoryDataModule(episodes((5,) * 12), num_demonstrations=5, steps_per_epoch=3)
    assert [sorted(batch) for batch in served(data)] == [list(range(5))] * 3


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        data = TrajectoryDataModule(episodes((2,) * 20), num_demonstrations=16, batch_size=4, seed=seed)
        return served(data, epoch)

    assert order(0, 1) == order(0, 1)
    assert len({str(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


def test_processes_share_each_batch():
    def shares(replicas, rank):
        data = TrajectoryDataModule(episodes((2,) * 12), num_demonstrations=8, batch_size=4, steps_per_epoch=5)
        data.trainer = SimpleNamespace(world_size=replicas, global_rank=rank)
        return served(data, epoch=2)

    whole, parts = shares(1, 0), [shares(2, rank) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(batch) for batch in whole]


def test_processes_share_a_batch_of_any_size_and_each_sees_one_that_is_too_small():
    def first(number, rank):
        data = TrajectoryDataModule(episodes((2,) * 12), num_demonstrations=number)
        data.trainer = SimpleNamespace(world_size=4, global_rank=rank)
        return served(data)[0]

    assert [len(first(10, rank)) for rank in range(4)] == [3, 3, 2, 2]
    assert [sorted(first(3, rank)) for rank in range(4)] == [[0, 1, 2]] * 4


@pytest.mark.parametrize(("number", "shares"), [(6, [2, 2, 1, 1]), (2, [2, 2, 2, 2])])
def test_every_process_has_something_to_validate_on(number, shares):
    def share(rank):
        data = TrajectoryDataModule(episodes((2,) * 20), fractions=(number / 20, 0.1))
        data.trainer = SimpleNamespace(world_size=4, global_rank=rank)
        return sum(len(batch) for batch in served(data, part="val"))

    assert [share(rank) for rank in range(4)] == shares


def test_validation_and_test_are_served_in_order():
    data = TrajectoryDataModule(episodes((5,) * 20), num_demonstrations=10, fractions=(0.2, 0.2), batch_size=3)
    for name in ("val", "test", "predict"):
        part = data.splits.val if name == "val" else data.splits.test
        starts = [int(value) // 10 for value in part.observations[:, 0, 0]]
        assert [index for batch in served(data, part=name) for index in batch] == starts


def test_hyperparameters_are_plain_data(tmp_path):
    path = str(tmp_path / "mine.npz")
    write_npz(path, episodes())
    data = TrajectoryDataModule(path, num_demonstrations=2, steps_per_epoch=4)
    torch.save(dict(data.hparams), tmp_path / "hparams.pt")
    kept = torch.load(tmp_path / "hparams.pt", weights_only=True)
    assert (kept["source"], kept["num_demonstrations"], kept["steps_per_epoch"]) == (path, 2, 4)
    assert TrajectoryDataModule(**kept).event == data.event
    assert "source" not in TrajectoryDataModule(episodes()).hparams  # arrays do not go into a checkpoint


def test_the_event_is_plain_data(tmp_path):
    event = TrajectoryDataModule(episodes(discrete=False)).event
    torch.save(event, tmp_path / "event.pt")
    assert torch.load(tmp_path / "event.pt", weights_only=True) == event


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


# ---- bad input


def broken(tmp_path, **changes):
    path = tmp_path / "broken.npz"
    arrays = {"obs": np.zeros((8, 2)), "acts": np.zeros(6, dtype=int), "indices": np.array([3])} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return str(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"obs": np.zeros((7, 2))}, "obs has 7 rows; 6 actions in 2 trajectories need 8"),
        ({"indices": np.array([3, 2])}, "indices must increase"),
        ({"indices": np.array([9])}, "indices must increase"),
        ({"indices": np.array([6])}, "indices must increase"),
        ({"indices": np.array([0])}, "indices must increase"),
        ({"indices": np.array([-2])}, "indices must increase"),
        ({"indices": np.array([3, 3])}, "indices must increase"),
        ({"indices": np.array([[3]])}, r"indices has shape \[1, 1\]"),
        ({"indices": np.array([0.5])}, "indices has shape"),
        ({"indices": None}, "lacks indices"),
        ({"rews": np.zeros(5)}, "rews has 5 rows"),
        ({"acts": np.array([None] * 6)}, "truncated or not an .npz"),
        ({"acts": np.array([None] * 6)}, "pickled objects, which could run code and are not read"),
        ({"log_probs": np.zeros(7)}, "log_probs has 7 rows for 6 steps"),
        ({"terminal": np.zeros(3)}, "actions of 2 trajectories, but terminal of 3"),
        ({"horizon": np.array([1, 2])}, r"horizon is \[1, 2\]; it must be one integer"),
        ({"num_actions": np.array("two")}, "num_actions is two; it must be one integer"),
        ({"obs": np.array(["a"] * 8)}, "observations are of type <U1; they must be numbers"),
        ({"rews": np.zeros((6, 1))}, r"trajectory 0: rewards of shape \[3, 1\]; one number per step"),
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
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"half.npz is an empty file"):
        TrajectoryDataModule(str(path))
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"plain.npy is a NumPy array .*; demonstrations are read from"):
        TrajectoryDataModule(str(tmp_path / "plain.npy"))
    with pytest.raises(FileNotFoundError, match="did you mean pendulum"):
        TrajectoryDataModule("pendulun")
    with pytest.raises(FileNotFoundError, match=r"no demonstrations zzz, .* allowed: cartpole, grid, "):
        TrajectoryDataModule("zzz", format="npz")
    with pytest.raises(FileNotFoundError, match="no file"):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="format 'npy' is not known; did you mean npz"):
        TrajectoryDataModule("pendulum", format="npy")
    with pytest.raises(ValueError, match="holds no demonstrations"):
        TrajectoryDataModule(str(tmp_path))


def replaced(demos, part, episode, step, value):
    parts = [array.copy().astype(float) if part != "actions" else array.copy() for array in getattr(demos, part)]
    parts[episode][step] = value
    return {part: parts}


@pytest.mark.parametrize("part", ["observations", "actions", "rewards", "log_probs"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])  # the last is infinite in single precision
def test_what_is_not_finite_is_named(part, value):
    if part == "rewards" and np.isnan(value):
        value = -np.inf  # rewards that are NaN are not known, and refuse nothing
    demos = episodes(name="mine.npz", discrete=False, log_probs=[np.zeros(5)] * 4)
    fields = {name: getattr(demos, name) for name in ("observations", "actions", "rewards", "log_probs")}
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
        (episodes(), {"num_actions": 1}, "trajectory 0, step 1: action 1 is not one of 0 to 0"),
        (
            Demonstrations(episodes().observations, [np.array([0, 1, 1, -1, 0])] * 4, name="mine.npz"),
            {},
            "mine.npz, trajectory 0, step 3: action -1 is not one of 0 to 1",
        ),
        (episodes(discrete=False), {"action_low": [0.0], "action_high": [0.2, 1.0]}, "an action has 1"),
        (
            episodes(discrete=False),
            {"action_low": [-0.5], "action_high": [0.5], "base_measure": "lebesgue"},
            r"trajectory 0, step 0: action \[-0.5\]; 8 of 20 actions lie on or beyond the bounds, .* set "
            r"base_measure=clipped",
        ),
        (episodes(), {"fractions": (0.0, 0.1)}, "fractions"),
        (episodes(), {"batch_size": 50}, "batch_size is 50"),
        (episodes(), {"batch_size": 0}, "batch_size is 0"),
        (episodes(), {"horizon": 0}, "horizon is 0; it must be at least 1"),
        (episodes(), {"action_low": [0.0], "action_high": [1.0]}, "actions are discrete, of type int64, and have no"),
        (episodes(), {"num_demonstrations": 5, "fractions": (0, 0)}, "has 4 trajectories; it must be between 1 and 4"),
        (episodes(), {"num_demonstrations": 0}, "num_demonstrations is 0"),
        (episodes((5,)), {}, r"has 1 trajectory; .* fractions=\[0, 0\]"),
        (episodes(discrete=False), {"action_low": [0.0]}, "action_low has 1 values and action_high 0"),
        (episodes(discrete=False), {"action_low": [-np.nan], "action_high": [1.0]}, "a number, or infinite"),
        (episodes(discrete=False), {"action_low": [1.0], "action_high": [0.0]}, "low must be below high"),
        (episodes(discrete=False), {"num_actions": 2}, "discrete actions of shape"),
        (episodes(discrete=False), {"base_measure": "clipped"}, "clipped, but have no bounds"),
        (
            episodes(discrete=False),
            {"action_low": [-0.7], "action_high": [0.5], "base_measure": "lebesgue"},
            r"trajectory 0, step 4: action \[0.5\]; 4 of 20 actions lie on",
        ),
    ],
)
def test_what_does_not_fit_is_refused(demos, options, words):
    with pytest.raises(ValueError, match=words):
        TrajectoryDataModule(demos, **options)


def test_lengths_must_fit():
    with pytest.raises(ValueError, match="one more observation"):
        Demonstrations([np.zeros((3, 2)), np.zeros((4, 2))], [np.zeros(3, dtype=int)] * 2)
    with pytest.raises(ValueError, match="no step"):
        Demonstrations([np.zeros((1, 2))], [np.zeros(0, dtype=int)])
    with pytest.raises(ValueError, match="no trajectory"):
        Demonstrations([], [])


def test_a_trajectory_that_was_cut_short_is_refused():
    """Not ended by the environment and not as long as the horizon: what would follow is not known."""
    demos = episodes((5, 3, 5))
    cut_short = Demonstrations(demos.observations, demos.actions, terminal=[False] * 3, name="mine.npz")
    with pytest.raises(ValueError, match=r"mine.npz, trajectory 1: 3 steps, .* it was cut short"):
        TrajectoryDataModule(cut_short, absorbing=True)


def test_parts_must_be_alike():
    seen, done = [np.zeros((4, 2))] * 3, [np.zeros((3, 1))] * 3
    with pytest.raises(ValueError, match=r"trajectory 2: observations of shape \[3\] .* trajectory 0 has \[2\]"):
        Demonstrations([*seen[:2], np.zeros((4, 3))], done)
    with pytest.raises(
        ValueError, match=r"trajectory 1: actions of shape .* and type int64, trajectory 0 has .* float64"
    ):
        Demonstrations(seen, [done[0], np.zeros((3, 1), dtype=int), done[2]])
    with pytest.raises(ValueError, match="trajectory 1: 2 rewards and 3 actions; there must be as many"):
        Demonstrations(seen, done, [np.zeros(3), np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match="trajectory 2: 4 log_probs and 3 actions; there must be as many"):
        Demonstrations(seen, done, log_probs=[np.zeros(3), np.zeros(3), np.zeros(4)])
    with pytest.raises(ValueError, match="actions of 3 trajectories, but observations of 2"):
        Demonstrations(seen[:2], done)
    with pytest.raises(ValueError, match="metadata 'horizn' is not known; did you mean horizon"):
        Demonstrations(seen, done, metadata={"horizn": 3})


def test_shapes_that_components_cannot_take_are_explained():
    done = [np.zeros(3, dtype=int)] * 3
    with pytest.raises(ValueError, match="one-hot vectors for discrete states"):
        TrajectoryDataModule(Demonstrations([np.arange(4)] * 3, done))
    with pytest.raises(ValueError, match=r"continuous ones have shape \[T, d\]"):
        TrajectoryDataModule(Demonstrations([np.zeros((4, 2))] * 3, [np.zeros(3)] * 3))
    with pytest.raises(ValueError, match=r"trajectory 0, step 1: action 0.5 is not one of 0 to 1"):
        TrajectoryDataModule(Demonstrations([np.zeros((4, 2))] * 3, [np.array([0, 0.5, 1])] * 3), num_actions=2)


@pytest.mark.parametrize("what", ["observations", "actions"])
def test_what_single_precision_loses_is_said(what):
    """Coordinates about 1e7, whose differences are below the 1 that single precision tells apart there."""
    rng = np.random.default_rng(0)
    observations = [rng.standard_normal((41, 2)) for _ in range(6)]
    actions = [rng.standard_normal((40, 1)) for _ in range(6)]
    for part in observations if what == "observations" else actions:
        part[:, 0] += 1e7
    with pytest.warns(
        UserWarning, match=rf"{what} are served in single precision, which loses detail: of 2\d\d distinct values"
    ):
        TrajectoryDataModule(Demonstrations(observations, actions))


def test_single_precision_that_loses_nothing_is_not_spoken_of():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*single precision")
        TrajectoryDataModule(
            Demonstrations(
                [rng.standard_normal((41, 2)) for _ in range(6)], [rng.standard_normal((40, 1)) for _ in range(6)]
            )
        )
