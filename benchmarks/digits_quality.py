"""Do the draws of a digits run read as digits?  A classifier, class shares, confidence, and nearest training images.

    python benchmarks/digits_quality.py runs/gan/digits/STAMP

The classifier is a support vector machine with radial kernel (scikit-learn) on the training images, with probabilities
calibrated by cross-validation. Draws are rounded down to grey levels, as the images are. Judged: draws of the sampler
q, and of the model exp(-c)/Z, which are draws of q resampled by their weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.calibration import CalibratedClassifierCV
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC
from torch import Tensor

from lightning_irl.command.lightning_cli import ViewCLI
from lightning_irl.datamodules import DigitsDataModule
from lightning_irl.mcmc.resampling import resample
from lightning_irl.views.view import read_checkpoint


def levels(served: Tensor) -> np.ndarray:
    """Images on the unit box as grey levels 0 .. 16, flattened."""
    return (served.flatten(1) * 17).floor().clamp(0, 16).numpy()


def judge(
    name: str,
    images: np.ndarray,
    classifier: CalibratedClassifierCV,
    train: NearestNeighbors,
    reference: dict[str, float],
) -> None:
    probabilities = classifier.predict_proba(images)
    share = np.bincount(probabilities.argmax(1), minlength=10) / len(images)
    confidence = probabilities.max(1).mean() / reference["confidence"]
    nearest = np.median(train.kneighbors(images, 1)[0])
    shares = " ".join(f"{value:.3f}" for value in share)
    print(f"| {name} | {shares} | {share.min():.3f} | {confidence:.3f} | {nearest:.1f} / {reference['nearest']:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = options.run / "config.yaml"
    view = ViewCLI(["--config", str(config)], "digits").model
    checkpoint = max((options.run / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    view.load_state_dict(read_checkpoint(str(checkpoint))["state_dict"])
    view.eval()
    data = DigitsDataModule(**(yaml.safe_load(config.read_text())["data"].get("init_args") or {}))
    train, test = (part.flatten(1).numpy() for part in (data.splits.train, data.splits.test))
    classifier = CalibratedClassifierCV(SVC(C=10, gamma="scale"), ensemble=False).fit(train, data.labels.train.numpy())
    neighbours = NearestNeighbors().fit(train)
    reference = {
        "confidence": classifier.predict_proba(test).max(1).mean(),
        "nearest": float(np.median(neighbours.kneighbors(train, 2)[0][:, 1])),
    }
    accuracy = classifier.score(test, data.labels.test.numpy())
    print(f"classifier: {accuracy:.1%} on test images, mean confidence {reference['confidence']:.3f}")
    print(
        "| draws | share of each digit 0 .. 9 | least | confidence over test's | nearest training image / among them |"
    )
    print("|---|---|---|---|---|")
    torch.manual_seed(options.seed)
    judge("test images", test, classifier, neighbours, reference)
    draws, _ = view.sampler.sample(options.draws)
    judge("sampler q", levels(draws), classifier, neighbours, reference)
    chosen, share = resample(view.energy, view.sampler, options.draws, pool=65_536)
    distinct = len(torch.unique(chosen.flatten(1), dim=0))
    judge("model, q resampled", levels(chosen), classifier, neighbours, reference)
    print(f"model: {distinct} distinct of {options.draws} draws, from 65536 of q; effective share {share:.3f}")


if __name__ == "__main__":
    main()
