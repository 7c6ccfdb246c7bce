from __future__ import annotations

import resource
import struct
from collections import Counter

import pytest
import torch

LONG = 3.0  # CPU seconds of all cases of a test and of the processes that they start, above which it is marked
MARKS = {"long", "slow", "gpu"}
SPENT = "CPU seconds"  # the property of a report that says it
STARTED = pytest.StashKey[float]()


@pytest.fixture(autouse=True)
def one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def idx_images(tmp_path_factory):
    """A folder with 200 grey images of 28 x 28 for training and ten for tests, in the format of MNIST."""
    root = tmp_path_factory.mktemp("idx")
    for part, number in (("train", 200), ("t10k", 10)):
        pixels, labels = torch.randint(256, (number, 28, 28)), torch.arange(number) % 10
        for name, array, magic in ((f"{part}-images-idx3", pixels, 2051), (f"{part}-labels-idx1", labels, 2049)):
            head = struct.pack(f">{1 + array.dim()}i", magic, *array.shape)
            (root / f"{name}-ubyte").write_bytes(head + array.to(torch.uint8).numpy().tobytes())
    return root


def cpu_seconds():
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    item.stash[STARTED] = cpu_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    try:
        return (yield)
    finally:
        item.user_properties.append((SPENT, cpu_seconds() - item.stash[STARTED]))


def pytest_terminal_summary(terminalreporter):
    """What the tests cost; and which are long without the mark, as a warning, since a busy machine is slower."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    spent, unmarked = 0.0, Counter()
    for report in reports:
        if report.when == "teardown" and SPENT in dict(report.user_properties):
            seconds = dict(report.user_properties)[SPENT]
            spent += seconds
            if MARKS.isdisjoint(report.keywords):
                unmarked[report.nodeid.partition("[")[0]] += seconds
    terminalreporter.write_line(f"the tests took {spent:.0f} CPU seconds")
    if unmarked and max(unmarked.values()) > LONG:
        terminalreporter.section(f"above {LONG:.0f} CPU seconds and not marked long", yellow=True)
        for name, seconds in unmarked.most_common():
            if seconds > LONG:
                terminalreporter.write_line(f"{seconds:7.1f}  {name}")
