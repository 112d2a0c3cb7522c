"""The header Retry-After."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime


def retry_after(header: str | None) -> float | None:
    """Seconds, from a number or an HTTP date; None without either."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
