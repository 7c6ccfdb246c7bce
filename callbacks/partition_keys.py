"""Keys of the report on the partition function: how estimates are logged, and which keys a run has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytorch_lightning import Trainer

from lightning_irl.callbacks.report import why_no_density, why_no_model, why_no_validation
from lightning_irl.partition import PartitionEstimate
from lightning_irl.partition.methods import Method, estimators_of
from lightning_irl.spaces.space import space_of
from lightning_irl.views import View
from lightning_irl.views.contracts import data_of

# Keys of the estimate made during training.
BY_IMPORTANCE = (
    "partition/log_z_importance",
    "partition/stderr_importance",
    "partition/reliable_importance",
    "partition/ess",
    "partition/k_hat",
)
DIVERGENCES = ("kl/model", "kl/sampler")


def estimate_scalars(estimates: Sequence[PartitionEstimate]) -> dict[str, float]:
    """Scalars of estimates: ``partition/log_z_<method>`` and so on; values that are not finite are left out."""
    scalars: dict[str, float] = {}
    for estimate in estimates:
        method = estimate.method
        scalars |= {f"partition/log_z_{method}": estimate.log_z, f"partition/stderr_{method}": estimate.stderr}
        scalars[f"partition/reliable_{method}"] = float(estimate.reliable)
        if method == "importance":
            scalars |= {
                "partition/ess": estimate.ess / estimate.num_samples,
                "partition/k_hat": estimate.k_hat,
            }
    return {key: value for key, value in scalars.items() if math.isfinite(value)}


def partition_keys(methods: Sequence[Method], trainer: Trainer, view: View) -> dict[str, str]:
    """Keys that callbacks can monitor, by pattern, each with the reason why a run lacks it; empty if it does not.

    Args:
        methods: the estimates made at the end.
        trainer: of the run.
        view: whose log Z is estimated.
    """
    no_report, no_density, no_model = why_no_validation(trainer), why_no_density(view), why_no_model(view)
    estimators = [one for one in estimators_of(methods) if not one.unsuited(view.event)]
    ours = [one.name for one in estimators if view.scores_demonstrations or not one.needs_demonstrations]
    names = [f"partition/{kind}_{name}" for name in ours for kind in ("log_z", "stderr", "reliable")]
    found = dict.fromkeys([*BY_IMPORTANCE, *names, "val/nll_model"], no_model or no_report)
    found["partition/log_z_*training"] = "the view logs it, under another name"
    found["partition/*"] = no_model or f"partition.methods makes estimates by {', '.join(ours)} alone"
    space = space_of(view.event)
    no_bits = "" if space.is_image else "bits are of images"
    is_in_bits = space.is_image and (space.is_counted or bool(data_of(trainer).num_levels))
    found["val/bits_per_dim_sampler"] = no_density or no_bits or no_report
    found["val/bits_per_dim_model"] = found["val/bits_per_dim_stderr"] = no_model or no_bits or no_report
    found["val/nll_stderr"] = no_model or ("images have val/bits_per_dim_stderr" if is_in_bits else no_report)
    is_known = space.figure == "plane" and data_of(trainer).density is not None
    unknown = "" if is_known else "the data has no known density of points in the plane"
    return found | dict.fromkeys(DIVERGENCES, no_model or unknown or no_report)
