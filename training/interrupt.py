"""Ctrl-C between two steps of a fit, never inside one: a half-done step must not be saved as a whole one."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class HeldInterrupt:
    """While entered, the first SIGINT only sets `asked`; a second one raises KeyboardInterrupt at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> "HeldInterrupt":
        """Take SIGINT over, unless it is ignored, as in a script's background jobs."""
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give SIGINT back."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
