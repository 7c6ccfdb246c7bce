"""What a sample is: the event that describes it, samples of any structure, trajectories, and the
support they live on.
"""

from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, make_event, make_trajectory_event
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.trajectory import Trajectory

__all__ = ["Batch", "Event", "Samples", "Trajectory", "make_event", "make_trajectory_event"]
