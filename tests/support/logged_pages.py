"""An answer whose texts try to act on a page, and pages of the log read."""

from __future__ import annotations

import re
from dataclasses import replace

import httpx2
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from storage.records import Answer, Candidate, Exchange, Outcome, Usage
from tests.support.browser import HOSTILE
from tests.support.log_samples import a_chunk, a_citation, a_plain_answer

HTML = {"accept": "text/html"}


def hostile_answer() -> Answer:
    """Return an answer whose every text tries to be more than text."""
    chunk = replace(a_chunk(1, HOSTILE), title=HOSTILE, source=HOSTILE, headings=(HOSTILE,), page=None)
    candidate = Candidate(chunk).ranked("retrieval", 1, 0.5).ranked("listwise", 1).ranked("final", 1)
    exchange = Exchange("m" + HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE, Usage(1), 1.0, HOSTILE)
    return a_plain_answer(
        666,
        id="hostile",
        question=HOSTILE,
        text=f"{HOSTILE} [1]",
        rerank="listwise",
        collection=HOSTILE,
        answerer=HOSTILE,
        prompt=HOSTILE,
        warnings=(HOSTILE,),
        fingerprints={HOSTILE: HOSTILE},
        candidates=(candidate,),
        neighbours=(chunk,),
        citations=(replace(a_citation(1), chunk_id=chunk.id, title=HOSTILE, source=HOSTILE),),
        stages=(Outcome("retrieval"), Outcome("listwise", "fallback", HOSTILE, 1.0, exchanges=(exchange,))),
    )


def questions(reply: httpx2.Response) -> list[str]:
    """The questions of a list, in its order."""
    return [node.text(strip=True) for node in HTMLParser(reply.text).css("a.log-question")]


def harmless(reply: httpx2.Response) -> None:
    """Assert that no element, attribute or address of a page came from a text."""
    tree = HTMLParser(reply.text)
    assert "window.hacked=1" in tree.text(), "the hostile text is not even shown"
    assert all(node.attributes.get("src", "").startswith("/static/") for node in tree.css("script"))
    assert not tree.css("img, iframe, style, base, object")
    for node in tree.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on"), node.html
            assert name != "style", node.html
            assert name not in ("href", "src", "action") or not str(value).startswith("javascript"), value
    assert "\u202e" not in reply.text
    assert "49" not in re.findall(r"x=&#39; (\S+)", reply.text)
