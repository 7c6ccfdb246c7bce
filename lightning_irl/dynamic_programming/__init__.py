"""Answers by backups through the horizon: tables, Riccati recursions, and IRL solved exactly."""

from lightning_irl.dynamic_programming import riccati
from lightning_irl.dynamic_programming.exact_irl import ExactIRL, maximum_causal_entropy, trajectory_maxent
from lightning_irl.dynamic_programming.occupancy import (
    causal_entropy,
    expected_cost,
    model_occupancy,
    occupancy,
    state_visits,
)
from lightning_irl.dynamic_programming.tabular import (
    Backup,
    causal_backup,
    log_z,
    model_transitions,
    risk_seeking_backup,
    soft_value,
)

__all__ = [
    "Backup",
    "ExactIRL",
    "causal_backup",
    "causal_entropy",
    "expected_cost",
    "log_z",
    "maximum_causal_entropy",
    "model_occupancy",
    "model_transitions",
    "occupancy",
    "riccati",
    "risk_seeking_backup",
    "soft_value",
    "state_visits",
    "trajectory_maxent",
]
