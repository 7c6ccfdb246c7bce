"""Policies: pi(a | s, t) with an exact density in the event's base measure."""

from lightning_irl.policies.base import Policy

__all__ = ["Policy"]
