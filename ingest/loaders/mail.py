"""Mail: EML by Python's email, MSG by python-oxmsg. Attachments are documents of their own."""

from __future__ import annotations

import io
import re
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage, Message, MIMEPart
from email.policy import default
from email.utils import parsedate_to_datetime

from ingest.loaders.base import Attachment, Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.html.load import load as load_html
from ingest.loaders.office.openxml import damaged
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.records import Meta

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
# The library's parser of addresses copies the rest of a header for every part of it.
_LONG_HEADER = 10_000
# Multiparts within each other that are looked into.
_DEEPEST = 20
_PREFERRED = ("plain", "html", "calendar")
# Of an invitation (RFC 5545): a line that goes on, what people want to know of the event, signs for others.
_FOLD = re.compile(r"\n[ \t]")
_FIELD = re.compile(
    r"^(SUMMARY|DTSTART|DTEND|LOCATION|DESCRIPTION|ORGANIZER)[^:\n]*+:(?:MAILTO:)?(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_ESCAPED = re.compile(r"\\([nN,;\\])")


def load(source: Source) -> Loaded:
    """A message as mail programs save it (RFC 5322): who wrote what to whom, then the body."""
    message = message_from_bytes(source.data, _class=EmailMessage, policy=default)
    headers = {name: _header(message, name) for name in _HEADERS}
    shown, attached = _parts(message, 0)
    texts = [(_content(part), part.get_content_subtype()) for part in shown]
    attachments = (_attachment(part, number) for number, part in enumerate(attached, 1))
    return _mail(source, headers, texts, tuple(attachments))


def _parts(part: MIMEPart, depth: int) -> tuple[list[MIMEPart], list[MIMEPart]]:
    """The texts that a mail program shows, in order, and what is attached to them.

    Of alternatives the plain text counts, or the first that holds words; an invitation comes besides.
    """
    kind = part.get_content_type()
    if part.get_content_maintype() != "multipart" or not part.is_multipart() or depth > _DEEPEST:
        named = part.is_attachment() or part.get_filename()
        is_text = kind == "text/calendar" or (kind in ("text/plain", "text/html") and not named)
        return ([part], []) if is_text and not part.is_attachment() else ([], [part])
    inner = [_parts(one, depth + 1) for one in part.iter_parts() if isinstance(one, MIMEPart)]
    texts = [one for shown, _ in inner for one in shown]
    attached = [one for _, further in inner for one in further]
    if kind == "multipart/alternative":
        said = [shown for shown, _ in inner if any(_content(one).strip() for one in shown)]
        said.sort(key=lambda shown: _PREFERRED.index(shown[0].get_content_subtype()))
        texts = (
            [*said[0], *(one for shown in said[1:] for one in shown if _is_invitation(one))] if said else []
        )
    return texts, attached


def _is_invitation(part: MIMEPart) -> bool:
    return part.get_content_subtype() == "calendar"


def _event(calendar: str) -> str:
    """The event of an invitation, a field a line."""
    lines = _FOLD.sub("", calendar.replace("\r\n", "\n"))
    event = lines.partition("BEGIN:VEVENT")[2].partition("END:VEVENT")[0]
    fields = _FIELD.findall(event)
    return "\n".join(f"{name}: {_ESCAPED.sub(_unescaped, value)}" for name, value in fields) or calendar


def _unescaped(found: re.Match[str]) -> str:
    return " " if found[1] in "nN" else found[1]


def load_outlook(source: Source) -> Loaded:
    """A message as Outlook saves it. Raises DocumentRefusedError (damaged)."""
    from oxmsg import Message as OutlookMessage

    try:
        message = OutlookMessage.load(io.BytesIO(source.data))
        sent = message.sent_date
        headers = {
            "From": one_line(message.sender or ""),
            "To": one_line("; ".join(f"{one.name} <{one.email_address}>" for one in message.recipients)),
            "Date": sent.isoformat() if sent else "",
            "Subject": one_line(message.subject or ""),
        }
        attachments = tuple(
            Attachment(one.file_name or f"attachment {number}", one.file_bytes)
            for number, one in enumerate(message.attachments, 1)
            if one.attached_by_value and one.file_bytes
        )
        body = (message.body or message.html_body or "", "plain" if message.body else "html")
    except Exception as error:  # olefile, struct, KeyError: python-oxmsg translates none of them
        raise damaged("python-oxmsg", error) from error
    return _mail(source, headers, [body], attachments)


def _mail(
    source: Source,
    headers: dict[str, str],
    texts: list[tuple[str, str]],
    attachments: tuple[Attachment, ...],
) -> Loaded:
    builder = TextBuilder()
    builder.block("\n".join(f"{name}: {value}" for name, value in headers.items() if value))
    for text, subtype in texts:
        if subtype == "html":
            builder.embed(load_html(Source(source.path, text.encode("utf-8", "replace"), source.limits)))
        else:
            builder.block(_event(clean(text)) if subtype == "calendar" else clean(text))
    metadata: dict[str, Meta] = {}
    if headers["From"]:
        metadata["author"] = headers["From"]
    if moment := _moment(headers["Date"]):
        metadata["date"] = moment.date().isoformat()
    if attachments:
        metadata["attachments"] = tuple(one.name for one in attachments)
    return Loaded(
        text=builder.text,
        title=headers["Subject"],
        headings=builder.headings,
        metadata=metadata,
        attachments=attachments,
    )


def _header(message: EmailMessage, name: str) -> str:
    raw = next((value for key, value in message.raw_items() if key.lower() == name.lower()), "")
    try:
        text = message.get(name, "") if len(raw) <= _LONG_HEADER else make_header(decode_header(raw))
        return one_line(str(text))
    except (ValueError, LookupError, IndexError):  # a header that no standard allows
        return ""


def _content(part: MIMEPart) -> str:
    """The text of a part in its declared encoding; in a guessed one where that is unknown or wrong."""
    data = part.get_payload(decode=True)
    return decode(data, declared=part.get_content_charset()).text if isinstance(data, bytes) and data else ""


def _attachment(part: MIMEPart, number: int) -> Attachment:
    if part.get_content_maintype() == "message":
        inner = part.get_payload()
        first = inner[0] if isinstance(inner, list) and inner else None
        data = first.as_bytes() if isinstance(first, Message) else b""
        return Attachment(one_line(part.get_filename() or "") or f"message {number}.eml", data)
    content = part.get_payload(decode=True)
    name = one_line(part.get_filename() or "") or f"attachment {number}.{part.get_content_subtype()}"
    return Attachment(name, content if isinstance(content, bytes) else b"")


def _moment(date: str) -> datetime | None:
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None
