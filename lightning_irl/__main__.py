"""``python -m lightning_irl`` and the console script."""

from __future__ import annotations

import sys

from lightning_irl.signals import EXIT_CODE, WATCH


def main() -> None:
    """Run the command line and exit with its code; after SIGTERM with 143, whatever else went wrong on the way out."""
    WATCH.guard()  # before what takes seconds to import
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
