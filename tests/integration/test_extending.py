"""The files of docs/extending.md run as they stand there, by the commands beside them, and are right where an answer is
known.
"""

import importlib
import json
import math
import re
import sys
from pathlib import Path

import pytest
import scipy.stats
import torch

from lightning_irl.command.cli import main
from lightning_irl.costs import QuadraticCost
from lightning_irl.learners import Reparameterised
from lightning_irl.pair import Pair
from lightning_irl.partition import Budget, Problem, importance, quadrature
from lightning_irl.samplers import GaussianSampler
from lightning_irl.spaces import make_event, make_trajectory_event
from lightning_irl.views.losses import Given

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"<!-- example: (\w+)\.py -->\n```python\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"(?m)^    lightning-irl (.*)$", PAGE)
POINTS = ["--data.train_size=512", "--data.val_size=256", "--data.batch_size=32", "--data.steps_per_epoch=3"]
TRAJECTORIES = ["--data.steps_per_epoch=2", "--model.init_args.num_samples=8", "--imitation.num_episodes=4"]
SMALL = [
    *("--threads=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"),
    *("--partition.num_samples=64", "--trainer.default_root_dir=run"),
]
WATCH = """
from pytorch_lightning import Callback


class Watch(Callback):
    def on_train_end(self, trainer, pl_module):
        Watch.view, Watch.callbacks, Watch.data = pl_module, trainer.callbacks, trainer.datamodule
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in {**FILES, "watch": WATCH}.items():
        Path(f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_file_has_at_most_thirty_lines():
    assert {name: text.count("\n") for name, text in FILES.items() if text.count("\n") > 30} == {}


@pytest.mark.long
@pytest.mark.parametrize("name", FILES)
def test_the_command_beside_it_trains(name, capsys):
    (command,) = [command for command in COMMANDS if re.search(rf"\b{name}\.", command)]
    reports = name in ("marginals", "quasi")  # what fast_dev_run leaves out
    options = ["--trainer.max_epochs=1"] if reports else ["--trainer.fast_dev_run=3"]
    options += {"mirrored": TRAJECTORIES, "banana": ["--data.number=256"]}.get(name, POINTS)
    if name != "quasi":
        options.append("--partition.methods=[importance]")
    assert main([*command.split(), "--trainer.callbacks+=watch.Watch", *SMALL, *options]) == 0
    watch = importlib.import_module("watch").Watch
    assert watch.view.batches > 0
    parts = [*watch.view.modules(), *watch.callbacks, watch.data]
    mine = [part for part in parts if type(part).__module__ == name]
    if name == "quasi":
        (estimate,) = [
            one
            for one in json.loads(Path("run/partition_val.json").read_text())["estimates"]
            if one["method"] == "quasi"
        ]
        assert math.isfinite(estimate["log_z"])
        return
    assert len(mine) == 1
    if name == "marginals":
        assert "largest distance of a marginal: 0." in capsys.readouterr().out
        assert list(Path("run/figures/mine/marginals").glob("*.png"))
        assert len(mine[0].distances) == 2
        assert max(mine[0].distances) < 0.5


def test_student_t_has_the_density_of_student_t():
    build = importlib.import_module("student_t").StudentTSampler
    sampler = build(make_event("point", [2], location=[0.5, -1.0], scale=[2.0, 0.3]))
    with torch.no_grad():
        sampler.root[1, 0], sampler.root[0, 1] = 0.7, 9.0  # what is above the diagonal is no part of L
        sampler.log_degrees.copy_(torch.tensor([3.0, 5.0]).log())
        samples, log_q = sampler.sample(1000)
    first = (samples[:, 0] - 0.5) / 2
    second = (samples[:, 1] + 1 - 0.7 * first) / 0.3
    expected = scipy.stats.t.logpdf(first, 3) + scipy.stats.t.logpdf(second, 5) - math.log(2 * 0.3)
    torch.testing.assert_close(log_q.double(), torch.as_tensor(expected), rtol=1e-4, atol=1e-4)
    assert scipy.stats.kstest(first, "t", (3,)).pvalue > 0.01
    samples, log_q = sampler.rsample(64)
    gradients = torch.autograd.grad(samples.square().sum() + log_q.sum(), list(sampler.parameters()))
    assert all(gradient.isfinite().all() and gradient.abs().sum() > 0 for gradient in gradients)


def test_experts_have_the_integral_of_their_formula():
    cost = importlib.import_module("experts").ExpertsCost(make_event("point", [1]), experts=1)
    with torch.no_grad():
        cost.planes.weight.fill_(1.0)
        cost.log_powers.fill_(math.log(2.0))  # a power of 2.5: log Z of (1 + x^2 / 2)^-2.5
    expected = math.log(2 * math.pi) / 2 + math.lgamma(2.0) - math.lgamma(2.5)
    assert quadrature(cost, cost.event).log_z == pytest.approx(expected, abs=1e-3)


def test_a_mirrored_cost_is_that_of_the_mirror_image():
    event = make_trajectory_event(5, [3], action_shape=[1])
    cost = importlib.import_module("mirrored").MirroredStepCost(event)
    observation, action, after = torch.randn(4, 5, 3), torch.randn(4, 5, 1), torch.randn(4, 5, 3)
    signs, time = torch.tensor([1.0, -1.0, -1.0]), torch.arange(5).expand(4, 5)
    here = cost(observation, action, after, time)
    torch.testing.assert_close(here, cost(observation * signs, -action, after * signs, time))
    assert not torch.allclose(here, cost(observation * signs, action, after * signs, time))


def test_at_the_model_every_draw_of_the_landing_has_no_gradient():
    event = make_event("point", [2], location=[0.3, 1.0], scale=[0.5, 2.0])
    sampler, cost = GaussianSampler(event), QuadraticCost(event)  # q is exp(-c) / Z

    def gradients(learner):
        loss = learner(event).loss(sampler, lambda samples, log_q: cost(samples) + log_q, 64)
        return torch.cat([found.flatten() for found in torch.autograd.grad(loss, list(sampler.parameters()))])

    torch.manual_seed(0)
    assert gradients(importlib.import_module("landing").StickingTheLanding).abs().max() < 1e-5
    assert gradients(Reparameterised).abs().max() > 0.01
    with torch.no_grad():  # away from it, the mean is that of the pathwise gradient
        sampler.mean += 0.5
    mean = torch.stack([gradients(importlib.import_module("landing").StickingTheLanding) for _ in range(50)]).mean(0)
    other = torch.stack([gradients(Reparameterised) for _ in range(400)])
    error = other.std(0) / 20
    assert ((mean - other.mean(0)).abs() <= 6 * error + 1e-6).all()


def test_the_bananas_density_is_that_of_its_points():
    data = importlib.import_module("banana").BananaDataModule(number=4096)
    assert quadrature(lambda samples: -data.density.log_prob(samples), data.event).log_z == pytest.approx(0, abs=1e-3)
    (points,) = zip(*data.train_dataloader().dataset, strict=True)
    log_p = data.density.log_prob(torch.stack(points)).double()
    entropy = math.log(2 * math.pi * math.e) + math.log(0.5)  # of two normals, in nats
    assert abs(-log_p.mean() - entropy) < 4 * log_p.std() / math.sqrt(len(log_p))


def test_quasi_random_noise_estimates_the_known_log_z_better_than_noise():
    event = make_event("point", [3], location=[0.3, 1.0, -1.0], scale=[0.5, 2.0, 1.0])
    cost, sampler = QuadraticCost(event), GaussianSampler(event, width=1.5)
    with torch.no_grad():
        sampler.mean += 0.2
    found = (
        importlib.import_module("quasi").QuasiImportance().estimate(Problem(cost, sampler), Budget(num_samples=8192))
    )
    other = importance(cost, sampler, num_samples=8192)
    assert abs(found.log_z - cost.log_z()) < 4 * found.stderr
    assert 0 < found.stderr < other.stderr / 3


def test_score_matching_is_least_at_the_moments_of_the_data():
    points = 0.5 + 2 * torch.randn(512, 1)
    for width, is_least in ((1.0, True), (1.3, False)):
        scale = width * points.std(correction=0).item()
        event = make_event("point", [1], location=[points.mean().item()], scale=[scale])
        pair = Pair(QuadraticCost(event), GaussianSampler(event))
        given = Given(points, *pair.draw(4), torch.tensor(math.nan))
        loss = importlib.import_module("score_matching").SlicedScoreMatching(event)(pair, given).loss
        slopes = torch.autograd.grad(loss, [pair.cost.mean, pair.cost.log_diagonal])
        assert all(slope.abs() < 1e-5 for slope in slopes) is is_least
