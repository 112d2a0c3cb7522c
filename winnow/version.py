"""The version of winnow."""

__version__ = "0.1.0"
