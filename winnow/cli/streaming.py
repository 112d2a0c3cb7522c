"""An answer on the terminal while it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from storage.records import Answer
from winnow.cli.terminal import plain


def shown(items: Iterable[str | Answer]) -> Answer:
    """Print the pieces of an answer as they come, and give back the whole.

    The pieces are a model's: no control character of theirs reaches the terminal. A text that breaks off ends
    its line, so that what is said about it stands on one of its own.
    """
    written = False
    try:
        for item in items:
            if isinstance(item, Answer):
                return item
            sys.stdout.write(plain(item))
            sys.stdout.flush()
            written = True
    finally:
        if written:
            sys.stdout.write("\n")
            sys.stdout.flush()
    raise AssertionError("a stream ends with its Answer")
