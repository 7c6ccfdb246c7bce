"""``lightning-irl workspace``: a W&B workspace with a section for each kind of key."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

from lightning_irl.errors import UserError

METHODS = ("importance", "annealed", "bridge", "annealed_reverse", "annealed_broad", "quadrature")  # that certify log Z
BATCH, STEPS = "batch", "environment_steps"
# For each section: its line plots (title, and the keys that share the panel) and its images.
SECTIONS: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "Likelihood": (
        {
            "negative log-likelihood of validation data, nats": ["val/nll_model", "val/nll_sampler"],
            "bits per dimension": ["val/bits_per_dim_model", "val/bits_per_dim_sampler"],
            "KL from the true density, nats": ["kl/model", "kl/sampler"],
        },
        [],
    ),
    "Partition function": (
        {
            "log Z, nats": ["partition/log_z_training", *(f"partition/log_z_{method}" for method in METHODS)],
            "its standard error, nats": [f"partition/stderr_{method}" for method in METHODS],
            "1: certified, with good diagnostics": [f"partition/reliable_{method}" for method in METHODS],
            "effective share of the draws": ["partition/ess"],
            "k_hat: above 0.5 the error is unreliable": ["partition/k_hat"],
        },
        ["partition/history"],
    ),
    "Samples": ({}, ["samples/grid", "samples/plane", "samples/rollouts", "samples/video", "samples/chain"]),
    "Imitation": (
        {
            "return, 1: the demonstrations'": ["imitation/normalised_return", "imitation/normalised_return_mode"],
            "agreement with the true reward": ["imitation/reward_correlation", "imitation/epic_distance"],
            "what the discriminator gets right": ["imitation/accuracy_demonstrations", "imitation/accuracy_sampler"],
        },
        [],
    ),
    "The paper's equations": (
        {
            "log_z off its optimum, nats": ["equivalence/log_z_gap"],
            "gradient of L_D beside that of L_cost: cosine": ["equivalence/gradient_cosine"],
            "and distance": ["equivalence/gradient_distance"],
            "L_G - (log_z + L_sampler), nats": ["equivalence/generator_loss_gap"],
        },
        [],
    ),
    "Training": (
        {
            "losses, nats": ["loss/cost", "loss/sampler", "loss/warm_start"],
            "gradient norms": ["gradient/cost_norm", "gradient/sampler_norm", "gradient/warm_start_norm"],
            "chains": ["chains/acceptance", "chains/step_size"],
        },
        [],
    ),
    "Other data and quality": (
        {"AUROC against other data": ["ood/auroc_energy", "ood/auroc_sampler", "ood/auroc_ratio"]},
        ["ood/energy_histogram", "quality/neighbours", "quality/interpolation"],
    ),
}


def workspace(entity: str, project: str, name: str) -> Any:
    """The workspace, not yet saved, with a section for each of :data:`SECTIONS`.

    Lines are over batches, those of imitation over environment steps.

    Raises:
        UserError: if the package wandb-workspaces is not installed.
    """
    try:
        panels: Any = import_module("wandb_workspaces.reports.v2")
        ws: Any = import_module("wandb_workspaces.workspaces")
    except ImportError:
        raise UserError('a workspace needs the package wandb-workspaces: pip install "lightning-irl[wandb]"') from None
    sections = []
    for title, (lines, images) in SECTIONS.items():
        axis = STEPS if title == "Imitation" else BATCH
        made = [panels.LinePlot(title=heading, x=axis, y=keys) for heading, keys in lines.items()]
        made += [panels.MediaBrowser(title=key, media_keys=[key], num_columns=1) for key in images]
        sections.append(ws.Section(name=title, panels=made, is_open=True))
    return ws.Workspace(entity=entity, project=project, name=name, sections=sections)


def run_workspace(arguments: list[str]) -> int:
    """Make a workspace online and print its address.

    Raises:
        UserError: if no user is logged in to W&B, or W&B refuses.
    """
    parser = argparse.ArgumentParser(prog="lightning-irl workspace", description=__doc__)
    parser.add_argument("--entity", required=True, help="W&B user or team")
    parser.add_argument("--project", default="lightning-irl", help="W&B project (default: as in logger/wandb)")
    parser.add_argument("--name", default="lightning-irl", help="name of the workspace")
    options = parser.parse_args(arguments)
    made = workspace(options.entity, options.project, options.name)
    from lightning_irl.callbacks.wandb import is_logged_in

    if not is_logged_in():
        raise UserError("a workspace is made online: log in with `wandb login`, or set WANDB_API_KEY")
    try:
        made.save()
    except Exception as error:  # W&B's client and server raise many kinds
        raise UserError(f"W&B did not make the workspace in {options.entity}/{options.project}: {error}") from error
    print(made.url)
    return 0
