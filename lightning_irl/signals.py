"""What a process does when it is told to go: SIGTERM, by which SLURM preempts, spot machines go and torchrun stops.

Python runs a handler between two of its own instructions, so never while the process waits in an exchange with others
or for a device, and an exception that a handler raises is lost where C code called Python. So a thread hears the signal
too, and ends the process if the handler did not.
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
GRACE = 8.0  # seconds until a process that cannot leave by itself is ended
WRITING = 25.0  # the same while a file is written; torchrun kills after 30
_depth = 0  # of held() in held()


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C wait until what is begun here has ended; then their handlers run, in the order in which
    they came.
    """
    global _depth
    if threading.current_thread() is not threading.main_thread():  # where no handler runs
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
    """Ends this process at SIGTERM, within seconds, with exit code 143, wherever it is.

    Attributes:
        asked: whether the signal has come.
        describe: what to say then: where the run was, and what of it is saved.
        pass_on: tells processes that this one started.
    """

    def __init__(self) -> None:
        self.asked = False
        self.describe: Callable[[], str] = lambda: "SIGTERM before the run began"
        self.pass_on: Callable[[], None] = lambda: None
        self._is_leaving = False
        self._forgets = False

    def listen(self) -> None:
        """Raise :class:`~lightning_irl.errors.Terminated` in the main thread at SIGTERM, once; nowhere but in the main
        thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGTERM, self._leave)
        if not self._forgets:  # workers of a loader are ended by SIGTERM, and are not the run
            os.register_at_fork(after_in_child=self._forget)
            self._forgets = True

    def guard(self) -> None:
        """Listen, and end the process from a thread if it has not left :data:`GRACE` seconds after the signal."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self.listen()
        threading.Thread(target=self._wait, args=(reading,), name="lightning-irl SIGTERM", daemon=True).start()

    def end(self, is_said: bool) -> None:
        """End the process after SIGTERM, without what would wait for other processes or abort on their account.

        Args:
            is_said: whether the user has read :attr:`describe`.
        """
        if not is_said:
            self._say()
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # W&B sends what it has
        self._exit()

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if self._is_leaving:  # once is enough; leaving must not be interrupted
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
