"""The words of a DOCX paragraph as Word shows them, and what hangs on it: notes, boxes, charts, comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docx.oxml import parse_xml
from docx.oxml.ns import qn
from lxml import etree

from ingest.loaders.office import openxml
from ingest.loaders.office.equations import linear
from ingest.loaders.text import one_line, superscript

COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}chart"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DROPPED = frozenset(
    map(
        qn,
        (
            "w:del",
            "w:moveFrom",
            "w:delText",
            "w:instrText",
            "w:rPr",
            "w:pPr",
            "w:softHyphen",
            "w:rt",
            "w:tblPr",
        ),
    )
)
# Letters of the Symbol font by code, which have no other name in the file.
_SYMBOL = dict(
    zip(
        range(0x41, 0x7B),
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ",
        strict=True,
    )
) | {
    0xB0: "°",
    0xB1: "±",
    0xA3: "≤",
    0xB3: "≥",
    0xB4: "×",
    0xB7: "•",
    0xB9: "≠",
    0xBB: "≈",
    0xAE: "→",
    0xA5: "∞",
}
# Signs of the Wingdings font that forms and lists use.
_WINGDINGS = dict(
    zip(
        (0x4A, 0x4C, 0x6C, 0x6E, 0x6F, 0x71, 0x76, 0xA7, 0xA8, 0xD8, 0xDF, 0xE0, 0xE1, 0xE2, 0xE8, 0xF0),
        "☺☹●■□❑❖▪◻➢←→↑↓➔⇨",
        strict=True,
    )
) | {0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"}


class Inline:
    """Reads paragraphs of one part. `attached` collects text and boxes to be written after the paragraph,
    `hidden` counts runs that Word does not show."""

    def __init__(self, part: Any, styles: Mapping[str, Any] | None = None) -> None:
        self.attached: list[Any] = []
        self.hidden = 0
        self._part = part
        self._styles = styles or {}
        self._notes: dict[str, dict[str, Any]] = {}
        self._count = 0

    def take(self) -> list[Any]:
        """Take the notes, comments and the like that belong to the text read so far."""
        taken, self.attached = self.attached, []
        return taken

    def text(self, paragraph: Any) -> str:
        """The text of all runs, including those in links, insertions and content controls."""
        return "".join(self._text(child) for child in paragraph if isinstance(child.tag, str))

    def _text(self, element: Any) -> str:
        tag = element.tag
        if tag == qn("w:t"):
            return element.text or ""
        if tag in _DROPPED:
            return ""
        if tag == qn("w:r"):
            return self._run(element)
        if tag in (qn("w:tab"), qn("w:ptab"), qn("w:br"), qn("w:cr")):
            return " "
        if tag == qn("w:noBreakHyphen"):
            return "-"
        if tag == qn("w:sym"):
            return _symbol(element)
        if tag == qn("w:sdt"):
            return self._control(element)
        if tag == qn("w:fldChar"):
            return _old_field(element)
        if tag.startswith(_MATH):
            before = element.getprevious()
            apart = " " if before is not None and before.tag == tag else ""
            return apart + linear(element)
        if tag in (qn("w:footnoteReference"), qn("w:endnoteReference"), qn("w:commentReference")):
            return self._reference(element)
        if tag in (qn("w:drawing"), qn("w:pict"), qn("w:object")):
            self._graphic(element)
            return ""
        if tag == f"{COMPATIBILITY}AlternateContent":  # the same twice: for new programs and for old ones
            element = next(iter(element), element)
        inner = "".join(self._text(child) for child in element if isinstance(child.tag, str))
        if tag == qn("w:ruby"):
            reading = one_line("".join(t.text or "" for t in element.iterfind(f"{qn('w:rt')}//{qn('w:t')}")))
            return f"{inner}({reading})" if reading else inner
        return inner

    def _run(self, run: Any) -> str:
        text = "".join(self._text(child) for child in run if isinstance(child.tag, str))
        if not text:
            return text
        vanish = self._said(run, "w:vanish")
        if vanish is not None and vanish.get(qn("w:val"), "1") not in ("0", "false"):
            self.hidden += bool(text.strip())
            return ""
        raised = self._said(run, "w:vertAlign")
        if raised is None or raised.get(qn("w:val")) != "superscript" or text.startswith("[^"):
            return text
        return superscript(text)

    def _said(self, run: Any, name: str) -> Any:
        """Read a run's own properties, or otherwise those of its style."""
        properties = run.find(qn("w:rPr"))
        if properties is None:
            return None
        own, named = properties.find(qn(name)), properties.find(qn("w:rStyle"))
        if own is not None or named is None or named.get(qn("w:val")) not in self._styles:
            return own
        return self._styles[named.get(qn("w:val"))].element.find(f"{qn('w:rPr')}/{qn(name)}")

    def _control(self, control: Any) -> str:
        """The text of a content control, unless it only asks for one."""
        if control.find(f"{qn('w:sdtPr')}/{qn('w:showingPlcHdr')}") is not None:
            return ""
        content = control.find(qn("w:sdtContent"))
        return "" if content is None else self.text(content)

    def _reference(self, reference: Any) -> str:
        """Put a note or comment after the paragraph, and return its mark."""
        kind = etree.QName(reference).localname.removesuffix("Reference")
        note = self._notes_of(kind).get(reference.get(qn("w:id")))
        if note is None:
            return ""
        words = one_line(" ".join(self.text(paragraph) for paragraph in note.iter(qn("w:p"))))
        if not words:
            return ""
        if kind == "comment":
            author = one_line(note.get(qn("w:author")) or "")
            self.attached.append(f"[{author}: {words}]" if author else f"[{words}]")
            return ""
        self._count += 1
        self.attached.append(f"[^{self._count}]: {words}")
        return f"[^{self._count}]"

    def _notes_of(self, kind: str) -> dict[str, Any]:
        if kind not in self._notes:
            root = next(
                (
                    parse_xml(relation.target_part.blob)
                    for relation in self._part.rels.values()
                    if not relation.is_external and relation.reltype.endswith(f"/{kind}s")
                ),
                (),
            )
            self._notes[kind] = {note.get(qn("w:id")): note for note in root if note.tag == qn(f"w:{kind}")}
        return self._notes[kind]

    def _graphic(self, element: Any) -> None:
        """Put the text of boxes, charts, diagrams and alternative texts after the paragraph."""
        for inner in element.iter():
            if inner.tag == qn("w:txbxContent") and not _is_fallback(inner):
                if not _is_within_box(inner, element):
                    self.attached.append(inner)
            elif isinstance(inner.tag, str) and inner.tag.endswith("}textpath"):
                self.attached.append(one_line(inner.get("string") or ""))
            elif inner.tag == _CHART:
                self.attached.extend(self._chart(inner.get(_RELATION)))
            elif isinstance(inner.tag, str) and inner.tag.endswith("}relIds"):
                self.attached.extend(self._diagram(inner))
            elif isinstance(inner.tag, str) and inner.tag.endswith("}docPr"):
                self.attached.append(openxml.described(inner))

    def _chart(self, relation: str | None) -> list[str]:
        part = self._part.related_parts.get(relation)
        lines = [] if part is None else list(openxml.chart_lines(openxml.parsed(part.blob)))
        return ["\n".join(lines)] if lines else []

    def _diagram(self, element: Any) -> list[str]:
        part = self._part.related_parts.get(element.get(_RELATION.replace("}id", "}dm")))
        return [] if part is None else openxml.diagram_lines(part.blob)


def _is_within_box(box: Any, graphic: Any) -> bool:
    """True for a box within another box of the graphic, which is read with that one."""
    for ancestor in box.iterancestors():
        if ancestor is graphic:
            return False
        if ancestor.tag == qn("w:txbxContent"):
            return True
    return False


def _old_field(element: Any) -> str:
    """The state of a check box, or the choice of a list, of Word's old forms, which no run of text holds."""
    box, choices = element.find(f".//{qn('w:checkBox')}"), element.find(f".//{qn('w:ddList')}")
    if box is not None:
        state = box.find(qn("w:checked"))
        state = box.find(qn("w:default")) if state is None else state
        return "☐" if state is None or state.get(qn("w:val"), "1") in ("0", "false") else "☒"
    if choices is None:
        return ""
    chosen = choices.find(qn("w:result"))
    index = 0 if chosen is None else int(chosen.get(qn("w:val"), "0"))
    entries = choices.findall(qn("w:listEntry"))
    return str(entries[index].get(qn("w:val"), "")) if index < len(entries) else ""


def _is_fallback(element: Any) -> bool:
    """True within the second copy of a text box, which is there for old programs."""
    return any(ancestor.tag == f"{COMPATIBILITY}Fallback" for ancestor in element.iterancestors())


def _symbol(element: Any) -> str:
    """A character of a symbol font; a private one keeps its code, so that nothing vanishes from a word."""
    code, font = int(element.get(qn("w:char"), "20"), 16), element.get(qn("w:font"), "")
    known = _SYMBOL if font.startswith("Symbol") else _WINGDINGS if font == "Wingdings" else {}
    return known.get(code & 0xFF, chr(code))
