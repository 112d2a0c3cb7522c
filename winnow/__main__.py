"""`python -m winnow` and the console script `winnow`."""

from __future__ import annotations


def main() -> None:
    from winnow.cli.app import app

    app(prog_name="winnow")


if __name__ == "__main__":
    main()
