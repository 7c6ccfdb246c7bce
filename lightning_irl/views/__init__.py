"""What trains the pair: View and its kinds."""

from lightning_irl.views.ebm import EBM
from lightning_irl.views.gan import GAN
from lightning_irl.views.irl import IRL
from lightning_irl.views.view import View

__all__ = ["EBM", "GAN", "IRL", "View"]
