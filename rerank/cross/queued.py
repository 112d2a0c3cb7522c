"""The questions that this process was asked and has not begun with: a server lets in a few at once.

Whoever may do less for each question, said in its outcome, looks here.
"""

from __future__ import annotations

from threading import Lock


class Queued:
    """A count that several threads may change. `count` is 0 where nobody queues."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = Lock()

    def change(self, by: int) -> None:
        """Count one more (1) or one less (-1)."""
        with self._lock:
            self.count += by


QUESTIONS = Queued()
