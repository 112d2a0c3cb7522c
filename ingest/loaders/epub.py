"""EPUB: the chapters of a book in the order of its spine, each read as HTML."""

from __future__ import annotations

import posixpath
import zipfile
from typing import Any
from urllib.parse import unquote

from lxml import etree

from ingest.loaders.base import Loaded, Source
from ingest.loaders.html.load import load_chapter
from ingest.loaders.metadata import language
from ingest.loaders.office import openxml
from ingest.loaders.text import TextBuilder, one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Meta

_CONTAINER = "META-INF/container.xml"


def load(source: Source) -> Loaded:
    """Chapters are pages. Raises DocumentRefusedError: damaged, unsupported, encrypted, too-large."""
    try:
        with openxml.opened(source) as archive:
            if _CONTAINER not in archive.namelist():
                raise DocumentRefusedError(
                    "ingest.unsupported", Reason("ingest.part-missing", part=_CONTAINER)
                )
            return _read(source, archive)
    except (etree.XMLSyntaxError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise openxml.damaged("lxml", error) from error


def _read(source: Source, archive: zipfile.ZipFile) -> Loaded:
    rootfile = openxml.parsed(archive.read(_CONTAINER)).find(".//{*}rootfile")
    root = rootfile.get("full-path") if rootfile is not None else ""
    package = openxml.parsed(archive.read(root))
    items = {item.get("id"): item for item in package.iterfind("{*}manifest/{*}item")}
    names = set(archive.namelist())
    locked = _locked(archive)
    builder, missing, number = TextBuilder(), 0, 0
    for reference in package.iterfind("{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        path = (
            ""
            if item is None
            else posixpath.normpath(posixpath.join(posixpath.dirname(root), unquote(item.get("href") or "")))
        )
        if path in locked:
            raise DocumentRefusedError("ingest.encrypted", Reason("ingest.copy-protected"))
        if path not in names:
            missing += 1
            continue
        number += 1
        builder.page(number)
        builder.embed(load_chapter(Source(path, archive.read(path), source.limits)))
    metadata = package.find("{*}metadata")
    title, facts = _facts(metadata) if metadata is not None else ("", {})
    return Loaded(
        text=builder.text,
        title=title,
        structured=True,
        headings=builder.headings,
        pages=builder.pages,
        metadata=facts,
        warnings=(Reason("ingest.chapters-missing", n=missing),) if missing else (),
    )


def _locked(archive: zipfile.ZipFile) -> set[str]:
    """The parts that copy protection encrypts (fonts are often, which hold no text)."""
    if "META-INF/encryption.xml" not in archive.namelist():
        return set()
    root = openxml.parsed(archive.read("META-INF/encryption.xml"))
    return {unquote(reference.get("URI") or "") for reference in root.iter("{*}CipherReference")}


def _facts(metadata: Any) -> tuple[str, dict[str, Meta]]:
    def said(name: str) -> list[str]:
        return [text for item in metadata.iterfind(f"{{*}}{name}") if (text := one_line(item.text or ""))]

    facts: dict[str, Meta] = {}
    if authors := said("creator"):
        facts["author"] = ", ".join(authors)
    if tags := said("subject"):
        facts["tags"] = tuple(tags)
    if dates := said("date"):
        facts["date"] = dates[0]
    if languages := said("language"):
        facts["lang"] = language(languages[0])
    return next(iter(said("title")), ""), facts
