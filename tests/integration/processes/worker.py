"""Trains small views for a few batches, alone or as one of several processes, and writes what came out.

    torchrun --nproc_per_node 2 tests/integration/processes/worker.py OUT.pt
    python tests/integration/processes/worker.py OUT.pt                      # one process with the whole of every batch

Batches are cut into shards of different sizes. Random numbers are those of the whole on every process, which takes its
part of the draws, so that what comes out differs by rounding alone.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from functools import partial

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from lightning_irl import processes
from lightning_irl.costs import AutoencoderCost, MLPCost, MLPStepCost, TiltedCost, TrajectoryCost
from lightning_irl.environments import CartPole, Pendulum, RandomMDP
from lightning_irl.learners import PPO, ScoreFunction, SoftValueIteration
from lightning_irl.mcmc import HMC, Chains, Langevin
from lightning_irl.partition import estimate_all
from lightning_irl.partition.annealed import annealed_run
from lightning_irl.policies import CategoricalPolicy, ClippedGaussianPolicy, TabularPolicy
from lightning_irl.regularisers import CostOffset, EnergyMagnitude, GradientPenalty
from lightning_irl.samplers import FlowSampler, GaussianMixtureSampler, GaussianSampler, GeneratorSampler, PolicySampler
from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import make_event, make_trajectory_event
from lightning_irl.spaces.samples import count, each, select
from lightning_irl.verification import monitor
from lightning_irl.views import EBM, GAN, IRL

POINT = make_event("point", [2])
PENDULUM = make_trajectory_event(10, [3], action_shape=[1], action_low=[-2], action_high=[2])
CARTPOLE = make_trajectory_event(20, [4], num_actions=2, absorbing=True)
BATCHES, SIZE, DRAWS = 3, 13, 17
CALLS = itertools.count(1)

flow = partial(FlowSampler, transforms=2, hidden=[8])
mixture = partial(GaussianMixtureSampler, components=3)
generator = partial(GeneratorSampler, hidden=[8])
cost = partial(MLPCost, hidden=[8])
langevin = partial(Chains, kernel=Langevin(0.05), steps=3, start="sampler")
persistent = partial(Chains, kernel=HMC(0.1, 2, target_acceptance=0.7), steps=2, buffer_size=4, restart_share=0.0)


def of_points(view, made_cost=cost, sampler=flow, event=POINT, **options):
    return lambda: view(event, made_cost, sampler, **({"num_samples": DRAWS} | options))


def of_trajectories(view, event=PENDULUM, environment=Pendulum, policy=ClippedGaussianPolicy, **options):
    ppo = partial(PPO, passes=2, minibatches=1, hidden=[8])
    return lambda: view(
        event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=environment(), policy=partial(policy, hidden=[8])),
        **({"num_samples": DRAWS, "learner": ppo} | options),
    )


def tabular():
    world = RandomMDP(num_states=5, num_actions=3)
    event = make_trajectory_event(4, [5], num_actions=3)
    return IRL(
        event,
        partial(TrajectoryCost, step_cost=partial(MLPStepCost, hidden=[8])),
        partial(PolicySampler, environment=world, policy=partial(TabularPolicy, sees_time=True)),
        learner=SoftValueIteration,
        num_samples=DRAWS,
    )


CASES = {
    "gan": of_points(GAN),
    "gan, learned log_z": of_points(GAN, log_z_by="learned"),
    "gan, mixture sampler": of_points(GAN, sampler=mixture, clip_norm=0.5),
    "gan, score function": of_points(GAN, learner=ScoreFunction, generator_loss="non_saturating"),
    "gan, likelihood": of_points(GAN, likelihood_weight=0.5, warm_start=1, entropy_weight=0.7),
    "gan, fixed sampler": of_points(GAN, sampler_steps=0, made_cost=partial(TiltedCost, cost=cost)),
    "gan, plain": of_points(GAN, sampler=generator, discriminator="plain", generator_loss="saturating"),
    "gan, margin": of_points(
        GAN, partial(AutoencoderCost, code=1, widths=[6]), generator, discriminator="margin", margin=5.0
    ),
    "gan, regularised": of_points(
        GAN,
        regularisers=[
            partial(EnergyMagnitude, weight=0.1),
            partial(GradientPenalty, weight=0.1),
            partial(GradientPenalty, weight=0.1, at="draws", target=1.0),
        ],
    ),
    "ebm, importance": of_points(EBM),
    "ebm, tilted": of_points(EBM, made_cost=partial(TiltedCost, cost=cost, bound=3.0), warm_start=1, temperature=2.0),
    "ebm, held": of_points(
        EBM, made_cost=partial(TiltedCost, cost=cost, bound=3.0), regularisers=[partial(CostOffset, weight=0.3)]
    ),
    "ebm, mixture": of_points(EBM, negative_phase="mixture", accumulate=2),
    "ebm, mixture, fitted": of_points(EBM, negative_phase="mixture", p_hat="fitted"),
    "ebm, mixture, known": of_points(EBM, negative_phase="mixture", p_hat=GaussianSampler),
    "ebm, uniform": of_points(EBM, negative_phase="uniform"),
    "ebm, mcmc": of_points(EBM, negative_phase="mcmc", chains=langevin, sampler_steps=0),
    "ebm, persistent": of_points(EBM, negative_phase="mcmc", chains=persistent),
    "ebm, cooperative": of_points(
        EBM, negative_phase="mcmc", chains=langevin, sampler_learns_from="chains", likelihood_weight=0.1
    ),
    "irl, points": of_points(IRL, cost_steps=2),
    "irl, discriminator": of_trajectories(IRL, cost_steps=2),
    "irl, transitions": of_trajectories(IRL, level="transition", keep_rounds=1),
    "irl, segments": of_trajectories(IRL, level=5, log_z_by="learned", learner=ScoreFunction),
    "irl, guided cost": of_trajectories(IRL, objective="guided_cost", keep_rounds=2),
    "irl, guided cost, mixture": of_trajectories(IRL, objective="guided_cost", negative_phase="mixture"),
    "irl, absorbing": of_trajectories(IRL, CARTPOLE, CartPole, CategoricalPolicy, level="transition"),
    "gan, trajectories": of_trajectories(GAN, CARTPOLE, CartPole, CategoricalPolicy),
    "irl, solved": tabular,
}
# Too few demonstrations for every process to have its own: each sees all, as the data modules serve them.
FEW = 2
CASES |= {f"few: {name}": CASES[name] for name in ("gan", "ebm, mixture", "irl, transitions")}


def own(total: int) -> slice:
    """This process's part of a batch: the later the process, the more."""
    number, index = processes.num_processes(), processes.process_index()
    edges = [total * k * (k + 5) // (number * (number + 5)) for k in range(number + 1)]
    return slice(edges[index], edges[index + 1])


def sharded(draw):
    """Draws for all processes by the same random numbers, of which each takes its own."""

    def drawn(number, *args, **kwargs):
        numbers = processes.gather(torch.tensor([number])).tolist()
        first = sum(numbers[: processes.process_index()])
        torch.manual_seed(next(CALLS))  # what a process drew of its own before, such as an order, does not matter
        with processes.alone():
            samples, log_q = draw(sum(numbers), *args, **kwargs)
        mine = torch.arange(first, first + number)
        return select(samples, mine), None if log_q is None else log_q[mine]

    return drawn


def sharded_like(make):
    """Random numbers for the rows of all processes, of which each takes its own."""

    def made(like):
        numbers = processes.gather(torch.tensor([len(like)])).tolist()
        first = sum(numbers[: processes.process_index()])
        return make(sum(numbers), *like.shape[1:], dtype=like.dtype)[first : first + len(like)]

    return made


def shards(samples, size, total):
    """Batches of a size, each this process's part; of few, all."""
    whole = [each(lambda part, at=at: part[at : at + size], samples) for at in range(0, total, size)]
    if size == FEW:
        return [Batch(batch, torch.zeros(count(batch))) for batch in whole]
    return [
        Batch(mine, torch.zeros(count(mine)))
        for mine in (each(lambda part: part[own(len(part))], batch) for batch in whole)
        if count(mine)
    ]


def loader(batches):
    return DataLoader(batches, batch_size=None)


def demonstrations(view):
    torch.manual_seed(5)
    if view.event["kind"] == "point":
        return torch.randn(BATCHES * SIZE, 2) * torch.tensor([0.5, 1.5]) + 0.7
    return view.sampler.sample(BATCHES * SIZE)[0]


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=0.5)


def run(make, size: int = SIZE) -> dict[str, torch.Tensor]:
    global CALLS
    CALLS = itertools.count(1)
    torch.manual_seed(0)
    view = make().double()
    view.cost_optimizer, view.sampler_optimizer = sgd(0.05), sgd(0.01)
    with processes.alone():
        samples = demonstrations(view)
    for name in ("sample", "rsample"):
        setattr(view.sampler, name, sharded(getattr(view.sampler, name)))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes.num_processes() if torch.distributed.is_initialized() else WORLD,
        strategy="ddp" if WORLD > 1 else "auto",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
    )
    torch.manual_seed(1)
    trainer.fit(view, loader(shards(samples, size, BATCHES * size)), loader(shards(samples, 5, BATCHES * SIZE)))
    found = {f"state/{key}": value for key, value in view.state_dict().items()}
    found |= {f"metric/{key}": value for key, value in trainer.callback_metrics.items() if "/" in key}
    if view.has_model:
        view.eval()
        torch.manual_seed(2)
        part = each(lambda part: part[own(SIZE)], samples)
        found |= {f"monitor/{key}": value for key, value in monitor(view, part).items()}
        found |= estimates(view, samples)
    return {key: value.detach().clone() for key, value in found.items()}


def estimates(view, samples):
    torch.manual_seed(3)
    number = processes.share(90)
    view.sampler.requires_grad_(False)
    found = estimate_all(
        view.energy,
        view.sampler,
        view.event,
        samples,
        number,
        methods=["importance", "discriminator", "mixture"],
    )
    if view.event["kind"] == "point":
        with processes.alone():
            torch.manual_seed(4)
            schedule = annealed_run(view.energy, view.sampler, num_chains=8, num_temperatures=5).schedule
        torch.manual_seed(4)
        run = annealed_run(view.energy, view.sampler, num_chains=processes.share(45), schedule=schedule)
        found.append(run.estimate)
    return {
        f"estimate/{estimate.method}/{name}": torch.tensor(float(getattr(estimate, name)))
        for estimate in found
        for name in ("log_z", "stderr", "ess", "k_hat", "num_samples")
    }


if __name__ == "__main__":
    import os

    WORLD = int(os.environ.get("WORLD_SIZE", "1"))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.randn_like, torch.rand_like = sharded_like(torch.randn), sharded_like(torch.rand)
    processes.separate_streams = lambda: None
    chosen = sys.argv[2:] or list(CASES)
    found = {name: run(CASES[name], FEW if name.startswith("few") else SIZE) for name in chosen}
    torch.save(found, f"{sys.argv[1]}.{os.environ.get('RANK', '0')}")
