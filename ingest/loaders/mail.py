"""Mail: EML by Python's email, MSG by python-oxmsg. Attachments are documents of their own."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage, Message, MIMEPart
from email.policy import default
from email.utils import parsedate_to_datetime
from typing import cast

from ingest.loaders.base import Attachment, Loaded, Source
from ingest.loaders.decoding import decode
from ingest.loaders.html.load import load as load_html
from ingest.loaders.office.openxml import damaged
from ingest.loaders.text import TextBuilder, clean, one_line
from storage.records import Meta

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
# The library's parser of addresses copies the rest of a header for every part of it.
_LONG_HEADER = 10_000


def load(source: Source) -> Loaded:
    """A message as mail programs save it (RFC 5322): who wrote what to whom, then the body."""
    message = message_from_bytes(source.data, _class=EmailMessage, policy=default)
    headers = {name: _header(message, name) for name in _HEADERS}
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None or not _content(body).strip():
        body = message.get_body(preferencelist=("html",)) or body or _calendar(message)
    others = list(message.iter_attachments())
    attached = [part for part in others if not _goes_on(part)]
    attachments = tuple(_attachment(part, number) for number, part in enumerate(attached, 1))
    mail = _mail(
        source,
        headers,
        "" if body is None else _content(body),
        "plain" if body is None else body.get_content_subtype(),
        attachments,
    )
    rest = "\n\n".join(text for part in others if _goes_on(part) and (text := clean(_content(part)).strip()))
    return replace(mail, text=f"{mail.text}\n\n{rest}") if rest else mail


def _calendar(message: EmailMessage) -> MIMEPart | None:
    """An invitation that is the whole message."""
    parts = (part for part in message.walk() if part.get_content_type() == "text/calendar")
    return cast(MIMEPart | None, next(parts, None))


def _goes_on(part: MIMEPart) -> bool:
    """True for text that goes on after an attachment, or that a mailing list adds: it has no name."""
    return part.get_content_type() == "text/plain" and not (part.is_attachment() or part.get_filename())


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
        body, subtype = message.body or message.html_body or "", "plain" if message.body else "html"
    except Exception as error:  # olefile, struct, KeyError: python-oxmsg translates none of them
        raise damaged("python-oxmsg", error) from error
    return _mail(source, headers, body, subtype, attachments)


def _mail(
    source: Source, headers: dict[str, str], body: str, subtype: str, attachments: tuple[Attachment, ...]
) -> Loaded:
    builder = TextBuilder()
    builder.block("\n".join(f"{name}: {value}" for name, value in headers.items() if value))
    if subtype == "html":
        builder.embed(load_html(Source(source.path, body.encode("utf-8", "replace"), source.limits)))
    else:
        builder.block(clean(body))
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
