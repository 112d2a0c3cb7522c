"""Fetches pages of sites: one, or those that a sitemap lists.

robots.txt is obeyed, and what did not change is not sent again.
"""

from __future__ import annotations

import gzip
import io
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.robotparser import RobotFileParser

import httpx2
from lxml import etree

from ingest.loaders.base import MIB
from ingest.loaders.registry import FORMATS, format_of
from ingest.sources.addresses import CheckedAddresses, PrivateAddressError, is_public
from ingest.sources.mirror import MOST_BYTES, Mirror, Origin, Unfetched, flat_name, folder_name
from storage.reasons import Reason

AGENT = "winnow"
_MOST_PAGES = 1000
_MOST_REDIRECTIONS = 5
_ROBOTS_BYTES, _SITEMAP_BYTES = MIB // 2, 50 * MIB
_SECONDS = 120.0
_LONGEST_DELAY = 10.0
# What a server calls a file, and the suffix by which it is read.
_SUFFIX_OF = {
    "application/xhtml+xml": ".html",
    "application/csv": ".csv",
    "text/x-markdown": ".md",
    **{kind.mime: suffix for suffix, kind in reversed(FORMATS.items())},
}
_UNSAID = ("application/octet-stream", "binary/octet-stream", "application/zip", "text/plain", "")
_XML = ("application/xml", "text/xml")
_GONE = (404, 410)


class _NotFetchedError(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Site:
    """Fetches into folders below `mirrors`, a folder of copies for each host.

    `allows` says which IP addresses may be asked. `pause` waits between pages where
    robots.txt asks for it.
    """

    mirrors: Mirror
    allows: Callable[[str], bool] = is_public
    pause: Callable[[float], None] = time.sleep
    unfetched: list[Unfetched] = field(default_factory=list, init=False)
    _robots: dict[str, RobotFileParser] = field(default_factory=dict, init=False)
    _client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = httpx2.Client(
            transport=CheckedAddresses(self.allows),
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
            timeout=20,
            trust_env=False,
        )

    def fetch(self, url: str) -> list[str]:
        """The copies of a page, or of the pages of a sitemap on the same host.

        A page that cannot be had is in `unfetched`; the copy of one that is gone is removed.
        """
        found = []
        for number, page in enumerate(self._pages(url)):
            if number and (delay := self._delay(page)):
                self.pause(min(delay, _LONGEST_DELAY))
            try:
                found.append(self._page(page))
            except _NotFetchedError as error:
                self.unfetched.append(Unfetched(page, error.reason))
        return found

    def close(self) -> None:
        self._client.close()

    def _pages(self, url: str) -> Iterator[str]:
        if not PurePosixPath(httpx2.URL(url).path).name.lower().endswith((".xml", ".xml.gz")):
            yield url
            return
        host, seen = httpx2.URL(url).host, {url}
        lists, pages = [url], list[str]()
        while lists and len(seen) < _MOST_PAGES:
            try:
                kind, listed = _listed(self._read(lists.pop(0), _SITEMAP_BYTES)[1])
            except _NotFetchedError as error:
                self.unfetched.append(Unfetched(url, error.reason))
                continue
            fresh = [one for one in dict.fromkeys(listed) if one not in seen and _host(one) == host]
            seen.update(fresh)
            (lists if kind == "sitemapindex" else pages).extend(fresh)
        yield from pages[:_MOST_PAGES]
        if len(pages) > _MOST_PAGES or lists:
            self.unfetched.append(Unfetched(url, Reason("ingest.long-sitemap", limit=_MOST_PAGES)))

    def _page(self, url: str) -> str:
        """The name of a page's copy, fetched only if it is another than the one that is there."""
        place = httpx2.URL(url).copy_with(fragment=None)
        folder = folder_name(f"{place.scheme}://{place.netloc.decode()}")
        stem = f"{folder}/{flat_name(place.raw_path.decode())}"
        known = next((name for name in (stem, *_suffixed(stem)) if self._origin(name, place)), None)
        origin = self.mirrors.origin(known) if known else None
        asked = {}
        if origin and origin.version:
            asked["If-None-Match"] = origin.version
        if origin and origin.modified:
            asked["If-Modified-Since"] = origin.modified
        try:
            response, data = self._read(str(place), MOST_BYTES, asked)
        except _NotFetchedError as error:
            if error.reason.values.get("status") in _GONE and known:
                self.mirrors.drop(known)
            raise
        if response.status_code == 304 and known:
            return known
        name = f"{folder}/{flat_name(place.raw_path.decode(), _suffix(str(place), response.headers))}"
        if known and known != name:
            self.mirrors.drop(known)
        version, modified = (response.headers.get(one, "") for one in ("ETag", "Last-Modified"))
        self.mirrors.keep(name, data, Origin(str(place), version, modified))
        return name

    def _origin(self, name: str, place: httpx2.URL) -> bool:
        origin = self.mirrors.origin(name)
        return origin is not None and origin.url == str(place)

    def _read(
        self, url: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        """A reply and its bytes, after redirections. Raises _NotFetchedError."""
        for _ in range(_MOST_REDIRECTIONS + 1):
            if httpx2.URL(url).scheme not in ("http", "https"):
                raise _NotFetchedError(Reason("ingest.no-web-address", url=url))
            if not self._allowed(url):
                raise _NotFetchedError(Reason("ingest.robots"))
            response, data = self._once(url, limit, headers)
            if response.next_request is None:
                break
            url = str(response.next_request.url)
        else:
            raise _NotFetchedError(Reason("ingest.redirections", n=_MOST_REDIRECTIONS))
        if response.status_code >= 400:
            raise _NotFetchedError(Reason("ingest.http-status", status=response.status_code))
        return response, data

    def _once(
        self, url: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        data, ends = bytearray(), time.monotonic() + _SECONDS
        try:
            with self._client.stream("GET", url, headers=dict(headers or {})) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise _NotFetchedError(Reason("ingest.packed-reply"))
                for piece in response.iter_raw(1 << 16):
                    data += piece
                    if len(data) > limit:
                        raise _NotFetchedError(Reason("ingest.too-many-bytes", size=len(data), limit=limit))
                    if time.monotonic() > ends:
                        raise _NotFetchedError(Reason("ingest.slow-reply", seconds=int(_SECONDS)))
                return response, bytes(data)
        except PrivateAddressError as error:
            raise _NotFetchedError(error.reason) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _NotFetchedError(
                Reason("ingest.no-reply", error=str(error) or type(error).__name__)
            ) from error

    def _allowed(self, url: str) -> bool:
        return self._rules(url).can_fetch(AGENT, url)

    def _delay(self, url: str) -> float:
        return float(self._rules(url).crawl_delay(AGENT) or 0)

    def _rules(self, url: str) -> RobotFileParser:
        """The host's robots.txt; all is allowed where there is none, nothing where the host is in trouble."""
        place = httpx2.URL(url).copy_with(raw_path=b"/robots.txt", fragment=None)
        rules = self._robots.get(str(place))
        if rules is None:
            rules = self._robots[str(place)] = RobotFileParser()
            try:
                response, data = self._once(str(place), _ROBOTS_BYTES)
            except _NotFetchedError as error:
                if error.reason.code == "ingest.private-address":
                    del self._robots[str(place)]
                    raise
                response, data = None, b""
            if response is not None and response.status_code == 200:
                rules.parse(data.decode("utf-8", "replace").splitlines())
            elif response is not None and response.status_code < 500:
                rules.parse([])
            else:
                rules.parse(["User-agent: *", "Disallow: /"])
        return rules


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except httpx2.InvalidURL:
        return ""


def _suffixed(stem: str) -> Iterator[str]:
    return (stem + suffix for suffix in dict.fromkeys(_SUFFIX_OF.values()))


def _suffix(url: str, headers: httpx2.Headers) -> str:
    """The suffix of what was sent: its type's, or that of its address where the type says no more.

    Raises _NotFetchedError for a type that no parser reads.
    """
    mime = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    path = httpx2.URL(url).path
    named = format_of(path)
    own = PurePosixPath(path).suffix.lower()
    if named and (mime in _UNSAID or named.mime == mime or _SUFFIX_OF.get(mime) == own):
        return own
    if suffix := _SUFFIX_OF.get(mime):
        return suffix
    if mime in _XML or mime.startswith("text/"):
        return ".txt"
    raise _NotFetchedError(Reason("ingest.other-type", mime=mime or "?"))


def _listed(data: bytes) -> tuple[str, list[str]]:
    """The kind of a sitemap, and the addresses in it. Raises _NotFetchedError."""
    try:
        if data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(_SITEMAP_BYTES)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, OSError, EOFError, zlib.error, ValueError) as error:
        raise _NotFetchedError(Reason("ingest.no-sitemap")) from error
    if root is None or etree.QName(root).localname not in ("urlset", "sitemapindex"):
        raise _NotFetchedError(Reason("ingest.no-sitemap"))
    found = [node.text.strip() for node in root.iter("{*}loc") if node.text]
    return etree.QName(root).localname, [url for url in found if url.startswith(("http://", "https://"))]
