"""Every config that ships runs on a device: on an emulated one here, on a real one where there is one (``make
test-gpu``).

An emulated fit is an order slower than one on the CPU. So here every config fits, and its trainer then validates, tests
and predicts without reports; those of :data:`WHOLE` run every verb by the command line, those of :data:`ALL_METHODS`
estimate log Z by every method, and both, with :data:`DRAWN`, draw what there is of figures; on a real device every
config does all of it.
"""

import ast
import re
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest
import torch
from emulated_cuda import EmulatedCUDA

from lightning_irl.callbacks import LogSamples
from lightning_irl.command.cli import main
from lightning_irl.command.lightning_cli import TrainingCLI
from lightning_irl.command.named_configs import CONFIGS, OVERLAYS, shipped_configs, with_bases
from lightning_irl.datamodules import trajectories
from lightning_irl.metrics import features
from lightning_irl.views.view import View

SOLVERS = ("learners/soft_", "learners/solved.py", "dynamic_programming/", "policies/linear_gaussian.py")
IS_REAL = torch.cuda.is_available()
SHIPPED = [name for name in shipped_configs() if name.split("/")[0] not in OVERLAYS]
WHOLE = ["gan/eight_gaussians", "gan/digits", "irl/linear_quadratic", "irl/grid"]
ALL_METHODS = ["gan/two_moons"]
DRAWN = ["irl/pendulum"]
# docs/scaling.md: environments of gymnasium, PPO where an environment absorbs, learners that solve for the policy
MAY_WAIT = ("environments/gymnasium.py", "learners/ppo.py:begin:", *SOLVERS)
BATCHES = 4 if IS_REAL else 2
STEPS = 5  # of an episode
EXPERTS = Path(trajectories.__file__).parent / "experts"
SMALL = [
    *("--threads=1", f"--data.steps_per_epoch={BATCHES}", "--data.batch_size=4", "--trainer.max_epochs=1"),
    *("--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1", "--trainer.limit_predict_batches=1"),
    *("--trainer.log_every_n_steps=2", "--trainer.enable_progress_bar=false"),
    *("--partition.num_samples=64", "--partition.num_chains=4", "--partition.num_temperatures=2"),
    *("--samples.pool=16", "--samples.moves=1", "--imitation.num_episodes=2"),
    *("--trainer.accelerator=gpu", "--trainer.devices=1", "--trainer.inference_mode=false"),
]


@contextmanager
def watched_steps(monkeypatch):
    """A device, and what training steps wait for on it: a counter of what and where."""
    found: Counter[tuple[str, str]] = Counter()
    step = View.training_step
    with EmulatedCUDA() as device:
        device.watches = False

        def emulated(self, batch, index):
            device.waits, device.watches = found, True
            try:
                return step(self, batch, index)
            finally:
                device.watches = False

        monkeypatch.setattr(View, "training_step", emulated)
        yield found


@contextmanager
def watched_real_steps(monkeypatch):
    """The same by torch's own record of what waits; the first batches set up libraries, which waits."""
    found: Counter[tuple[str, str]] = Counter()
    step = View.training_step

    def real(self, batch, index):
        if index < 2:
            return step(self, batch, index)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                return step(self, batch, index)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            for one in caught:
                if "synchroniz" in str(one.message):
                    found[str(one.message), place_of(one.filename, one.lineno)] += 1

    monkeypatch.setattr(View, "training_step", real)
    yield found


def place_of(filename, line):
    """File, innermost function and line, as the emulated device gives them."""
    functions = [one for one in ast.walk(ast.parse(Path(filename).read_text())) if isinstance(one, ast.FunctionDef)]
    around = [one for one in functions if one.lineno <= line <= one.end_lineno]
    name = max(around, key=lambda one: one.lineno).name if around else ""
    return f"{filename.split('lightning_irl/')[-1]}:{name}:{line}"


@pytest.fixture
def every_verb(monkeypatch):
    """After each fit its trainer validates, tests and predicts, without reports, which other configs make."""
    done = []

    def whole(self):
        self.trainer.callbacks = []
        for verb in (self.trainer.validate, self.trainer.test, self.trainer.predict):
            verb(self.model, datamodule=self.datamodule)
            done.append(verb.__name__)

    monkeypatch.setattr(TrainingCLI, "after_fit", whole, raising=False)
    return done


def options_of(name, folder, idx_images):
    text = "".join(path.read_text() for path in with_bases(CONFIGS / f"{name}.yaml"))
    more = ["--model.init_args.warm_start=1"] if "warm_start:" in text else []
    more += [f"--{key}=null" for key in ("init_from", "cost_from") if f"{key}: ???" in text]
    more += ["--model.num_samples=4"] if name.startswith("irl/") else []
    more += ["--model.learner.init_args.passes=1"] if re.search(r"^      passes:|^        passes:", text, re.M) else []
    if source := re.search(r"source: (cartpole|maze|pendulum)", text):
        more += [f"--data.source={cut(source[1], folder)}", f"--data.horizon={STEPS}"]
    more += ["--quality.num_samples=4", "--quality.moves=1", "--quality.pool=1"] if "quality:" in text else []
    more += ["--data.root", str(idx_images)] if "ImageDataModule" in text else []
    return [*SMALL, *more]


def cut(name, folder):
    """A shipped file of demonstrations with the first steps of each episode alone."""
    with numpy.load(EXPERTS / f"{name}.npz") as file:
        content = dict(file)
    episodes = len(content["terminal"])
    for key, more in (("obs", 1), ("acts", 0), ("rews", 0)):
        rows = content[key].reshape(episodes, int(content["horizon"]) + more, *content[key].shape[1:])
        content[key] = rows[:, : STEPS + more].reshape(episodes * (STEPS + more), *content[key].shape[1:])
    content |= {"horizon": numpy.array(STEPS), "indices": STEPS * numpy.arange(1, episodes)}
    numpy.savez(folder / f"{name}.npz", **content)
    return folder / f"{name}.npz"


def unexpected(waits):
    return {key: number for key, number in waits.items() if not key[1].startswith(MAY_WAIT)}


@pytest.mark.long
@pytest.mark.parametrize("name", SHIPPED)
def test_runs_and_no_step_waits(name, tmp_path, monkeypatch, idx_images, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTNING_IRL_TRACEBACK", "1")
    monkeypatch.setitem(features.train_features.__kwdefaults__, "num_steps", 2)
    verbs = ["fit", "validate", "test", "predict"] if name in WHOLE or IS_REAL else ["fit"]
    done = request.getfixturevalue("every_verb") if len(verbs) == 1 else None
    if name not in (*WHOLE, *ALL_METHODS, *DRAWN) and not IS_REAL:
        monkeypatch.setattr(LogSamples, "on_train_end", lambda *args: None)
    methods = [] if name in ALL_METHODS or IS_REAL else ["--partition.methods=[importance]"]
    with (watched_real_steps if IS_REAL else watched_steps)(monkeypatch) as waits:
        for verb in verbs:
            last = ["--ckpt_path=last"] if verb != "fit" else []
            assert main([verb, "--config", name, *options_of(name, tmp_path, idx_images), *methods, *last]) == 0
    assert unexpected(waits) == {}
    assert done in (None, ["validate", "test", "predict"])


def test_going_on_with_earlier_rounds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTNING_IRL_TRACEBACK", "1")
    options = ["--model.init_args.keep_rounds=2", "--model.sampler=GaussianSampler", "--model.cost=MLPCost"]
    options = ["--model=IRL", *options, "--data=ToyDataModule", "--partition.methods=[importance]", *SMALL]
    with watched_steps(monkeypatch) if not IS_REAL else watched_real_steps(monkeypatch):
        assert main(["fit", *options]) == 0
        (path,) = tmp_path.rglob("*.ckpt")
        assert main(["fit", *options, "--trainer.max_epochs=2", f"--ckpt_path={path}"]) == 0
