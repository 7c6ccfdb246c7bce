"""What the summary prints: every report's findings, a user's own among them, through one method."""

import warnings

import pytorch_lightning as pl
from rich.table import Table

from lightning_irl.callbacks import LogImitation, LogOutOfDistribution, LogPartition, LogQuality, Report, Summary
from lightning_irl.callbacks.failing import left_out
from lightning_irl.costs import MLPCost
from lightning_irl.datamodules import ToyDataModule
from lightning_irl.partition import PartitionEstimate
from lightning_irl.samplers import GaussianSampler
from lightning_irl.views import GAN


class Mine(Report):
    """A report of a user's own: a line and a table of what it found."""

    def on_train_end(self, trainer, pl_module):
        self.seen = trainer.train_dataloader.batch_size

    def summary(self):
        table = Table("batch size")
        table.add_row(str(self.seen))
        return ["what [bold]I[/] found", table]


class Broken(Report):
    def summary(self):
        raise KeyError("nothing found")


def fit(folder, *callbacks):
    data = ToyDataModule(train_size=64, val_size=16, test_size=16, batch_size=16, steps_per_epoch=1)
    options = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=folder, logger=False, callbacks=list(callbacks), **options
    )
    trainer.fit(GAN(data.event, lambda event: MLPCost(event, hidden=[4]), GaussianSampler), data)
    return trainer


def test_a_report_of_a_users_own_is_printed_and_one_that_fails_costs_a_line(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = fit(tmp_path, Mine(), Broken(), Report(), Summary())
    printed = capsys.readouterr().out
    assert "what I found" in printed
    assert "batch size" in printed
    assert "16" in printed
    assert left_out(trainer) == ["the summary of Broken is left out at batch 1: KeyError: 'nothing found'"]
    assert "fit finished after 1 batches" in printed


def test_shipped_reports_print_nothing_before_they_found_something():
    for report in (LogPartition(), LogImitation(), LogQuality(), LogOutOfDistribution()):
        assert not report.summary()


def test_what_shipped_reports_print(capsys):
    from rich.console import Console

    partition = LogPartition()
    partition.estimates = [PartitionEstimate(1.5, 0.25, 10.0, 0.1, "quadrature", 20, True, True)]
    partition.results = {"partition/log_z_quadrature": 1.5, "val/nll_model": 2.5, "kl/model": 0.5}
    other = LogOutOfDistribution()
    other.results = {"ood/auroc_energy": 0.75}
    imitation = LogImitation()
    imitation.results, imitation.verdict = {"imitation/return": -1.0, "imitation/return_stderr": 0.5}, "converged"
    for report in (partition, other, imitation):
        for part in report.summary():
            Console(width=120).print(part)
    printed = capsys.readouterr().out
    for text in (
        "log Z (nats)",
        "Likelihood, model with log Z by quadrature",
        "2.5000",
        "area under the ROC curve by energy 0.750",
        "-1.000 +- 0.500",
        "converged",
    ):
        assert text in printed
