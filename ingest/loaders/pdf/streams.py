"""Looks at what the streams of a PDF unpack to, before PDFium holds them in memory several times."""

from __future__ import annotations

import re
import zlib

from ingest.loaders.base import MIB, Source
from storage.errors import DocumentRefusedError
from storage.reasons import Reason

_STREAM = re.compile(rb"stream\r?\n")
_IMAGE = re.compile(rb"/Subtype\s*/Image")
# PDFium takes some seven times the size of a page's content; a picture is read once.
_MOST, _MOST_OF_AN_IMAGE = 64 * MIB, 512 * MIB
# What a byte can unpack to, and how much is unpacked at a time.
_MOST_DEFLATED, _PIECE = 1032, 1 << 20
_DICTIONARY = 1_000


def check_streams(source: Source) -> None:
    """Raise DocumentRefusedError (too-large) where a stream unpacks to more than a page can hold."""
    data = source.data
    for found in _STREAM.finditer(data):
        end = data.find(b"endstream", found.end())
        packed = memoryview(data)[found.end() : end if end > 0 else len(data)]
        if len(packed) * _MOST_DEFLATED <= _MOST:
            continue
        described = data[max(0, found.start() - _DICTIONARY) : found.start()].rpartition(b" obj")[2]
        limit = _MOST_OF_AN_IMAGE if _IMAGE.search(described) else _MOST
        if (size := _unpacked(packed, limit)) > limit:
            reason = Reason("ingest.part-unpacks-to", part=f"stream@{found.start()}", size=size)
            raise DocumentRefusedError("ingest.too-large", reason)


def _unpacked(packed: memoryview, limit: int) -> int:
    """The size of what is packed with Flate, counted up to a limit; 0 for anything else."""
    unpacker, size = zlib.decompressobj(), 0
    rest: bytes | memoryview = packed
    try:
        while size <= limit and not unpacker.eof:
            piece = unpacker.decompress(rest, _PIECE)
            rest = unpacker.unconsumed_tail
            if not piece and not rest:
                break
            size += len(piece)
    except zlib.error:
        return size
    return size
