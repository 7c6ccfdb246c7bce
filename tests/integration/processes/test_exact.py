"""Several processes with shards of a batch give what one process with the whole gives: parameters, log Z, estimates,
metrics.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.long

WORKER = Path(__file__).parent / "worker.py"
SOME = ["gan", "gan, learned log_z", "ebm, mixture, fitted", "ebm, persistent", "irl, discriminator", "irl, absorbing"]
ROUNDING = 1e-12


def run(folder, number, cases, environment):
    """What each process found."""
    start = [sys.executable]
    if number > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(number)]
    command = [*start, str(WORKER), str(folder / str(number)), *cases]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{number}.{rank}", weights_only=True) for rank in range(number)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, environment):
    (found,) = run(tmp_path_factory.mktemp("alone"), 1, [], environment)
    assert len(found) >= 27
    return found


@pytest.mark.parametrize(("number", "cases"), [(2, []), (3, SOME)])
def test_shards_give_what_the_whole_batch_gives(number, cases, alone, environment, tmp_path):
    off = []
    for rank, found in enumerate(run(tmp_path, number, cases, environment)):
        assert list(found) == (cases or list(alone))
        for case, values in found.items():
            assert values.keys() == alone[case].keys()
            assert any(key.startswith("metric/val/") for key in values)
            for key, value in values.items():
                expected = alone[case][key].double()
                distance = (value.double() - expected).abs() / (1 + expected.abs())
                same = (distance <= ROUNDING) | (value.isnan() & expected.isnan())
                if not same.all():
                    off.append((rank, case, key, float(distance.max())))
    assert not off
