"""``python -m lightning_irl`` and the console script."""

from __future__ import annotations

import os
import sys

from lightning_irl.signals import EXIT_CODE, WATCH

# OpenMP reads these when torch is loaded: GNU's, which torch has on Linux, counts turns of 20 nanoseconds, LLVM's and
# Intel's milliseconds
HOW_THREADS_WAIT = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}


def share_cores() -> None:
    """Let threads that wait for others soon sleep, unless the user has said how they wait.

    By themselves they spin for 6 (GNU) to 200 milliseconds after every operation of torch. Where each has a core of its
    own that costs little; where others want the cores, threads that spin keep the one they wait for from working.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", *HOW_THREADS_WAIT)):
        os.environ.update(HOW_THREADS_WAIT)


def main() -> None:
    """Run the command line and exit with its code; after SIGTERM with 143, whatever else went wrong on the way out."""
    WATCH.guard()  # before what takes seconds to import
    share_cores()  # before torch is imported
    code: int | None = None
    try:
        from lightning_irl.command.cli import main as run

        code = run()
    except BaseException:
        if not WATCH.asked:
            raise
    if WATCH.asked:
        WATCH.end(is_said=code == EXIT_CODE)
    sys.exit(code)


if __name__ == "__main__":
    main()
