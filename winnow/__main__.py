"""`python -m winnow` and the console script `winnow`."""

from __future__ import annotations

import io
import logging
from typing import TextIO


def main() -> None:
    import sys

    from winnow.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe that is not UTF-8 gets question marks, no traceback
    logging.lastResort = _Masking()
    try:
        try:
            app(prog_name="winnow")
        finally:
            sys.stdout.flush()
    except OSError as error:  # a full disk, or /dev/full; of other files the error has the name
        sys.stdout = None  # what is left in it cannot be written either
        where = error.filename or "the output cannot be written"
        sys.stderr.write(f"error: {where}: {error.strerror or error}\n")
        sys.exit(1)


class _Masking(logging.StreamHandler[TextIO]):
    """Writes warnings and errors to standard error, secrets masked, in their tracebacks, too."""

    def __init__(self) -> None:
        super().__init__()
        self.setLevel(logging.WARNING)

    def format(self, record: logging.LogRecord) -> str:
        from storage.secrets import masked

        return masked(super().format(record))


if __name__ == "__main__":
    main()
