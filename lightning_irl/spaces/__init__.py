"""What a sample is: the event that describes it, the space made from the event, samples of any structure, and
trajectories.
"""

from lightning_irl.spaces.batch import Batch
from lightning_irl.spaces.event import Event, make_event, make_trajectory_event
from lightning_irl.spaces.samples import Samples
from lightning_irl.spaces.space import Space, space_of
from lightning_irl.spaces.trajectory import Trajectory

__all__ = ["Batch", "Event", "Samples", "Space", "Trajectory", "make_event", "make_trajectory_event", "space_of"]
