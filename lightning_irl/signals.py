"""Handling of SIGTERM, which SLURM sends on preemption, spot machines on shutdown and torchrun to stop its processes.

Python runs a handler between two of its own instructions, so never while the process waits in a collective or for a
device, and an exception that a handler raises is lost where C code called Python. A thread therefore receives the
signal too, and ends the process if the handler did not.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from lightning_irl.errors import Terminated

EXIT_CODE = 128 + signal.SIGTERM
GRACE = 8.0  # seconds after which a process that has not ended by itself is ended
WRITING = 25.0  # seconds, the same while a file is written; torchrun kills after 30
_depth = 0  # nesting of held()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Delay SIGTERM and Ctrl-C until the block ends; then run their handlers in the order of arrival."""
    global _depth
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread only
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    waiting = {number: handler for number, handler in handlers.items() if callable(handler)}
    came: list[int] = []
    _depth += 1
    try:
        for one in waiting:
            signal.signal(one, lambda number, frame: came.append(number))
        yield
    finally:
        _depth -= 1
        for one, handler in waiting.items():
            signal.signal(one, handler)
        for number in dict.fromkeys(came):
            waiting[signal.Signals(number)](number, None)


class Watch:
    """Ends this process within seconds of SIGTERM, with exit code 143, whatever it is doing.

    Attributes:
        asked: whether the signal has arrived.
        describe: returns the message: where the run was, and what is saved.
        pass_on: passes the signal on to processes that this one started.
    """

    def __init__(self) -> None:
        self.asked = False
        self.describe: Callable[[], str] = lambda: "SIGTERM before the run began"
        self.pass_on: Callable[[], None] = lambda: None
        self._is_leaving = False
        self._forgets = False

    def listen(self) -> None:
        """Raise :class:`~lightning_irl.errors.Terminated` once at SIGTERM; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGTERM, self._leave)
        if not self._forgets:  # SIGTERM ends a loader's workers too, which must not report the run's end
            os.register_at_fork(after_in_child=self._forget)
            self._forgets = True

    def guard(self) -> None:
        """Listen, and end the process from a thread if it still runs :data:`GRACE` seconds after the signal."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.listen()
        threading.Thread(target=self._wait, args=(reading,), name="lightning-irl SIGTERM", daemon=True).start()

    def end(self, is_said: bool) -> None:
        """End the process after SIGTERM, skipping cleanup that would wait for other processes or abort with them.

        Args:
            is_said: whether :attr:`describe` has already been shown.
        """
        if not is_said:
            self._say()
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # W&B uploads what is pending
        self._exit()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if self._is_leaving:  # a second signal must not interrupt the exit
            return
        self.asked = self._is_leaving = True
        self.pass_on()
        raise Terminated(self.describe())

    def _forget(self) -> None:
        with contextlib.suppress(ValueError):  # forked from another thread
            if signal.getsignal(signal.SIGTERM) == self._leave:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.set_wakeup_fd(-1)

    def _wait(self, reading: int) -> None:
        while signal.SIGTERM not in os.read(reading, 64):
            pass
        self.asked, since = True, time.monotonic()
        with contextlib.suppress(Exception):
            self.pass_on()
        while time.monotonic() - since < (WRITING if _depth else GRACE):
            time.sleep(0.1)
        self._say()
        self._exit()

    def _say(self) -> None:
        with contextlib.suppress(Exception):
            print(f"lightning-irl: {self.describe()}", file=sys.stderr)

    def _exit(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(EXIT_CODE)


WATCH = Watch()  # of this process
