"""Long work in a worker thread stops between its batches once nobody waits for it any more."""

from __future__ import annotations

from contextlib import suppress

from anyio import from_thread


def stop_if_cancelled() -> None:
    """End this work where whoever started it has left, or is out of time; does nothing anywhere else."""
    with suppress(RuntimeError):  # outside of a worker thread nothing can be cancelled
        from_thread.check_cancelled()
