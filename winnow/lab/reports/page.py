"""The frame of a report: one HTML file that fetches nothing and runs no script, light or dark as wanted.

Every text from documents and questions goes through `safe`.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from storage.errors import BadInputError

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #8884;font-variant-numeric:tabular-nums}
th:nth-child(-n+3),td:nth-child(-n+3){text-align:left}
svg{width:100%;max-width:38rem;font:12px system-ui,sans-serif;fill:currentColor}
.plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr))}
details{border:1px solid #8884;border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}
summary{cursor:pointer}.sides{display:grid;grid-template-columns:1fr 1fr;gap:1rem}
li{margin:.3rem 0;overflow-wrap:anywhere}.hit{border-left:4px solid #009e73;padding-left:.5rem}
.won{color:#00795a}.lost{color:#b84f00}.small{opacity:.7;font-size:.9em}
@media (prefers-color-scheme:dark){.won{color:#4fd1a5}.lost{color:#ff9a57}}
"""


def check_file(path: Path) -> None:
    """Before the long work: whether a page can be written after it. Raises BadInputError."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BadInputError(
            f"the report cannot be written to {path}", way_out="Give a file in an existing folder."
        )


def write(text: str, path: Path) -> None:
    """Write a page; an older one stays whole until the new one is there. Raises BadInputError."""
    draft = path.with_name(f"{path.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - says that it is atomic
    except OSError as error:
        raise BadInputError(f"the report cannot be written to {path}: {error.strerror}") from error


def page(title: str, body: str) -> str:
    """A whole page; `title` and `body` are HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    top = "".join(f"<th>{head}</th>" for head in heads)
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table>"


def safe(text: str) -> str:
    """Untrusted text as HTML."""
    return escape(plain(text))


def plain(text: str) -> str:
    """Text without control, direction and half characters, which could make a page show what is not there."""
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cf", "Cs") else one for one in text)
