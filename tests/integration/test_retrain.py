"""A learned cost, frozen, trains a fresh policy by one command; of a shaped cost, the part that does not depend on the
dynamics.
"""

from pathlib import Path

import pytest
import torch

from lightning_irl.command.cli import main
from lightning_irl.views import IRL

pytestmark = pytest.mark.long

SMALL = ["--model.num_samples=4", "--data.steps_per_epoch=1", "--trainer.max_epochs=1", "--samples.every_n_epochs=0"]
SMALL += [
    "--imitation.num_episodes=4",
    "--partition.methods=[importance]",
    "--partition.num_samples=8",
    "--trainer.accelerator=cpu",
]
STATE = "--model.cost.init_args.step_cost.init_args.inputs=state"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Checkpoints of a plain and of a shaped cost, by config."""
    found = {}
    for name in ("irl/pendulum", "irl/airl"):
        folder = tmp_path_factory.mktemp("run")
        assert main(["fit", "--config", name, *SMALL, f"--trainer.default_root_dir={folder}"]) == 0
        (found[name],) = folder.glob("checkpoints/*.ckpt")
    return found


def retrain(folder, *options):
    return main(["fit", "--config", "irl/retrain", *SMALL, f"--trainer.default_root_dir={folder}", *options])


def cost_in(path):
    state = torch.load(path, weights_only=True)["state_dict"]
    return {key: value for key, value in state.items() if key.startswith("cost.")}


def test_the_cost_is_taken_and_held_and_the_policy_is_new(trained, tmp_path):
    assert retrain(tmp_path, f"--cost_from={trained['irl/pendulum']}", "--seed_everything=1") == 0
    (path,) = tmp_path.glob("checkpoints/*.ckpt")
    before, after = cost_in(trained["irl/pendulum"]), cost_in(path)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    old, new = (IRL.load_from_checkpoint(part, weights_only=True) for part in (trained["irl/pendulum"], path))
    pairs = zip(old.sampler.parameters(), new.sampler.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_of_a_shaped_cost_the_part_without_the_potential(trained, tmp_path):
    assert retrain(tmp_path, f"--cost_from={trained['irl/airl']}", STATE) == 0
    (path,) = tmp_path.glob("checkpoints/*.ckpt")
    shaped, plain = (IRL.load_from_checkpoint(part, weights_only=True) for part in (trained["irl/airl"], path))
    step = torch.randn(5, 7, 3), torch.randn(5, 7, 1), torch.randn(5, 7, 3), torch.zeros(5, 7, dtype=torch.long)
    torch.testing.assert_close(plain.cost.step_cost(*step), shaped.cost.step_cost.cost(*step))


def test_bad_input_is_refused_before_anything_is_trained(trained, tmp_path, capsys):
    garbage = tmp_path / "garbage.ckpt"
    garbage.write_bytes(b"PK")
    cases = {
        "no checkpoint absent.ckpt": ["--cost_from=absent.ckpt"],
        "garbage.ckpt": [f"--cost_from={garbage}"],
        "is not this TrajectoryCost": [f"--cost_from={trained['irl/airl']}"],
        "give one of them": [f"--cost_from={trained['irl/pendulum']}", f"--init_from={trained['irl/pendulum']}"],
    }
    cases |= {"add --cost_from PATH": [], "add --init_from PATH": ["--cost_from=null", "--init_from=???"]}
    for message, options in cases.items():
        assert retrain(tmp_path / "run", *options) == 2
        assert message in capsys.readouterr().err
    assert not list(Path(tmp_path).glob("run/**/*.ckpt"))
