"""Parts shared by DOCX, PPTX and XLSX: a ZIP archive that may be hostile, refusals, core properties."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from ingest.loaders.base import Source
from ingest.loaders.office.number_formats import formatted
from ingest.loaders.tables import Grid, table_lines
from ingest.loaders.text import one_line
from storage.errors import DocumentRefusedError
from storage.reasons import Reason
from storage.records import Meta

FEW_CHARACTERS = 200
_RATIO_FROM = 16 << 20
# What a byte can unpack to, and how much is unpacked at a time to see what a part really is.
_MOST_DEFLATED, _PIECE = 1032, 1 << 16
_TEXTS = (".xml", ".rels")
_FILE_NAME = re.compile(r"\S*\.(?:png|jpe?g|gif|bmp|tiff?|svg|emf|wmf|webp)", re.IGNORECASE)
# No entities, no network: a part says what it says and nothing else.
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
SAFELY: dict[str, Any] = {"resolve_entities": False, "no_network": True, "huge_tree": True}
_STRICT = b"http://purl.oclc.org/ooxml/"
_STRICT_NAME = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/?")
_TRANSITIONAL = rb"http://schemas.openxmlformats.org/\1/2006/"
# The content types of files with macros and of templates, whose text is where that of others is.
_MACROS = re.compile(
    rb"application/vnd\.(?:ms-(?P<app>word|excel|powerpoint)\.(?:document|sheet|presentation|template|slideshow)"
    rb"\.macroEnabled(?:Template)?|openxmlformats-officedocument\.(?P<family>wordprocessingml|presentationml"
    rb"|spreadsheetml)\.(?:template|slideshow))\.main\+xml"
)
_MAIN_TYPES = {
    b"word": b"wordprocessingml.document",
    b"excel": b"spreadsheetml.sheet",
    b"powerpoint": b"presentationml.presentation",
}


def _plain_type(match: re.Match[bytes]) -> bytes:
    kind = _MAIN_TYPES.get(match["app"] or b"") or next(
        name for name in _MAIN_TYPES.values() if name.startswith(match["family"])
    )
    return b"application/vnd.openxmlformats-officedocument." + kind + b".main+xml"


@dataclass(frozen=True, slots=True)
class Package:
    """An Open XML file that can be opened, and the name of its main part."""

    archive: io.BytesIO
    main: str


def checked(source: Source, root: str) -> Package:
    """The archive, once it is known to have a main part whose element is `root` and to be no bomb.

    Strict Open XML and files with macros or of templates are changed into what every library opens.
    Raises DocumentRefusedError: damaged, encrypted, unsupported, too-large.
    """
    if source.data.startswith(b"\xd0\xcf\x11\xe0"):
        raise DocumentRefusedError("ingest.encrypted", Reason("ingest.old-office"))
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            bombs = _bombs(archive, source)
            main = _main_part(archive)
            if main is None or not re.search(
                rb"<(?:\w+:)?%b[\s>]" % root.encode(), archive.read(main)[:9000]
            ):
                reason = Reason("ingest.part-missing", part=f"<{root}>")
                raise DocumentRefusedError("ingest.unsupported", reason)
            odd = bool(bombs) or _needs_change(archive)
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, zlib.error, RuntimeError) as error:
        reason = Reason("ingest.not-an-archive", error=str(error))
        raise DocumentRefusedError("ingest.damaged", reason) from error
    return Package(_changed(source, bombs) if odd else io.BytesIO(source.data), main)


def opened(source: Source) -> zipfile.ZipFile:
    """An archive of another kind, once it is known to be no bomb.

    Raises DocumentRefusedError: damaged, too-large.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(source.data))
        bombs = _bombs(archive, source)
    except (zipfile.BadZipFile, OSError, ValueError, zlib.error, RuntimeError) as error:
        reason = Reason("ingest.not-an-archive", error=str(error))
        raise DocumentRefusedError("ingest.damaged", reason) from error
    if any(name.endswith((".xhtml", ".html", ".htm", ".opf")) for name in bombs):
        size = max(archive.getinfo(name).file_size for name in bombs)
        reason = Reason("ingest.part-unpacks-to", part=min(bombs), size=size)
        raise DocumentRefusedError("ingest.too-large", reason)
    return archive


def _bombs(archive: zipfile.ZipFile, source: Source) -> set[str]:
    """The names of parts that would only fill the memory; raises where a part with text is one."""
    members = archive.infolist()
    bombs = [member for member in members if _is_bomb(member, source)]
    if any(member.filename.endswith(_TEXTS) for member in bombs):
        reason = Reason("ingest.part-unpacks-to", part=bombs[0].filename, size=bombs[0].file_size)
        raise DocumentRefusedError("ingest.too-large", reason)
    unpacked = sum(member.file_size for member in members if member not in bombs)
    if unpacked > source.limits.unpacked_bytes:
        raise DocumentRefusedError("ingest.too-large", Reason("ingest.unpacks-to", size=unpacked))
    for member in members:
        try:
            if member not in bombs:
                _check_size(archive, member)
        except zipfile.BadZipFile:
            if member.filename.endswith(_TEXTS):
                raise
            bombs.append(member)
    return {member.filename for member in bombs}


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raise BadZipFile where a part is more than its header says: read whole, all of it would be unpacked."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{member.filename} is compressed in a way that office files are not")
    if member.compress_size * _MOST_DEFLATED > _RATIO_FROM:
        with archive.open(member) as part:
            while part.read(_PIECE):
                pass  # after what the header says the checksum is wrong


def _main_part(archive: zipfile.ZipFile) -> str | None:
    """The name of the part that the package says is its main one, whatever it is called."""
    if "_rels/.rels" not in archive.namelist():
        return None
    for relation in etree.fromstring(archive.read("_rels/.rels"), PARSER):
        if (relation.get("Type") or "").endswith("/officeDocument"):
            target = (relation.get("Target") or "").lstrip("/")
            return target if target in archive.namelist() else None
    return None


def _needs_change(archive: zipfile.ZipFile) -> bool:
    types = archive.read("[Content_Types].xml")
    return bool(_MACROS.search(types)) or _STRICT in archive.read("_rels/.rels")


def _is_bomb(member: zipfile.ZipInfo, source: Source) -> bool:
    return member.file_size > _RATIO_FROM and member.file_size > source.limits.unpacked_ratio * max(
        1, member.compress_size
    )


def _changed(source: Source, bombs: set[str]) -> io.BytesIO:
    """The archive without the given parts, with the names of Transitional Open XML in all others."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source.data)) as old, zipfile.ZipFile(changed, "w") as new:
        for member in old.infolist():
            if member.filename in bombs:
                continue
            data = old.read(member)
            if member.filename.endswith((".xml", ".rels")):
                data = _MACROS.sub(_plain_type, _STRICT_NAME.sub(_TRANSITIONAL, data))
            new.writestr(member.filename, data)
    changed.seek(0)
    return changed


def described(properties: Any) -> str:
    """The alternative text of a picture, unless it is only the name of its file."""
    words = one_line(properties.get("descr") or "")
    return "" if _FILE_NAME.fullmatch(words) else words


def relations(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Map ids to what a part relates to: the last word of the relation's type, and the other part's name."""
    folder, name = posixpath.split(part)
    listed = f"{folder}/_rels/{name}.rels".lstrip("/")
    if listed not in archive.namelist():
        return {}
    found = {}
    for relation in etree.fromstring(archive.read(listed), PARSER):
        target = relation.get("Target") or ""
        path = target if target.startswith("/") else posixpath.join(folder, target)
        kind = (relation.get("Type") or "").rpartition("/")[2]
        found[relation.get("Id") or ""] = (kind, posixpath.normpath(path).lstrip("/"))
    return found


def core_properties(archive: zipfile.ZipFile) -> tuple[str, dict[str, Meta]]:
    """As `properties`, of a package that no library opens."""
    target = next((part for kind, part in relations(archive, "").values() if kind == "core-properties"), "")
    if target not in archive.namelist():
        return "", {}
    from docx.opc.coreprops import CoreProperties
    from docx.oxml import parse_xml

    try:
        return properties(CoreProperties(parse_xml(archive.read(target))))
    except (etree.XMLSyntaxError, ValueError):
        return "", {}


def chart_titles(chart: Any) -> Iterator[str]:
    """The titles of a chart and of its axes."""
    for words in chart.iterfind(".//{*}title"):
        if title := one_line("".join(t.text or "" for t in words.iter("{*}t"))):
            yield title


def chart_lines(chart: Any) -> Iterator[str]:
    """A line for each category of a chart with the value of every series, as the chart keeps them."""
    yield from chart_titles(chart)
    grid = Grid()
    for column, series in enumerate(chart.iter("{*}ser"), 1):
        name = "".join(v.text or "" for v in series.iterfind("{*}tx//{*}v"))
        grid.add(0, column, one_line(name) or str(column))
        for axis, place in (("cat", 0), ("xVal", 0), ("val", column), ("yVal", column)):
            for point in series.iterfind(f"{{*}}{axis}//{{*}}pt"):
                value = _shown(point, one_line("".join(v.text or "" for v in point.iter("{*}v"))))
                if grid.free(row := int(point.get("idx") or 0) + 1, place) == place:
                    grid.add(row, place, value)
    yield from (line for _, line in table_lines(grid.rows(), head=1))


def _shown(point: Any, value: str) -> str:
    """A value of a chart; a share as the chart shows it, in per cent."""
    code = point.get("formatCode") or point.getparent().findtext("{*}formatCode") or ""
    return formatted(value, code) if "%" in code else value


def parsed(data: bytes) -> Any:
    """The root element of a part."""
    return etree.fromstring(data, PARSER)


def diagram_lines(data: bytes) -> list[str]:
    """The texts of a diagram's (SmartArt's) points."""
    points = parsed(data).iter("{*}pt")
    texts = (one_line("".join(t.text or "" for t in point.iter("{*}t"))) for point in points)
    return [text for text in texts if text]


def document_properties(document: Any) -> tuple[str, dict[str, Meta]]:
    """The properties of an opened document; none where it has none, which its library would make up."""
    relations = document.part.package.iter_rels()
    if any(relation.reltype.endswith("/core-properties") for relation in relations):
        return properties(document.core_properties)
    return "", {}


def properties(core: Any) -> tuple[str, dict[str, Meta]]:
    """The title, and author, date, tags and language as far as they are filled in."""
    metadata: dict[str, Meta] = {}
    if author := one_line(core.author or ""):
        metadata["author"] = author
    if core.modified is not None:
        metadata["date"] = core.modified.date().isoformat()
    if tags := tuple(tag for part in re.split("[,;，；、]", core.keywords or "") if (tag := one_line(part))):
        metadata["tags"] = tags
    for name in ("category", "subject"):
        if words := one_line(getattr(core, name, "") or ""):
            metadata[name] = words
    return one_line(core.title or ""), metadata


def damaged(library: str, error: Exception) -> DocumentRefusedError:
    """The refusal of a file over which a library raised an error."""
    return DocumentRefusedError(
        "ingest.damaged", Reason("ingest.reader-failed", library=library, error=str(error))
    )


def without_text(pictures: int) -> DocumentRefusedError:
    """The refusal of a document that has pictures at most."""
    if not pictures:
        return DocumentRefusedError("ingest.empty", Reason("ingest.nothing-to-read"))
    return DocumentRefusedError("ingest.no-text", Reason("ingest.only-pictures", pictures=pictures))


def little_text(text: str, pictures: int) -> tuple[Reason, ...]:
    """A warning where a document has next to no text."""
    n = len(text.strip())
    if n >= FEW_CHARACTERS:
        return ()
    if not pictures:
        return (Reason("ingest.little-text", n=n),)
    return (Reason("ingest.little-text-and-pictures", n=n, pictures=pictures),)
