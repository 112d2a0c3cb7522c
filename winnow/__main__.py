"""`python -m winnow` and the console script `winnow`."""

from __future__ import annotations

import io


def main() -> None:
    import sys

    from winnow.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe that is not UTF-8 gets question marks, no traceback
    app(prog_name="winnow")


if __name__ == "__main__":
    main()
