"""One adapter per format. A loader takes a Source and gives back Loaded; the registry finds it by suffix."""

from ingest.loaders.base import Columns, Format, Loaded, Source
from ingest.loaders.registry import FORMATS, format_of, load, supported

__all__ = ["FORMATS", "Columns", "Format", "Loaded", "Source", "format_of", "load", "supported"]
