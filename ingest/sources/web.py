"""Fetches pages of sites: one, or those that a sitemap lists.

robots.txt is obeyed, and what did not change is not sent again.
"""

from __future__ import annotations

import gzip
import io
import math
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
from ingest.sources.addresses import CheckedAddresses, NotFetchedError, cut_off, is_public
from ingest.sources.mirror import MOST_BYTES, Mirror, Origin, Unfetched, flat_name, folder_name
from storage.reasons import Reason

AGENT = "winnow"
_MOST_PAGES = 1000
_MOST_REDIRECTIONS = 5
_ROBOTS_BYTES, _SITEMAP_BYTES = MIB // 2, 50 * MIB
_LONGEST_DELAY = 10
# What a server calls a file, and the suffix by which it is read.
_SUFFIX_OF = {
    "application/xhtml+xml": ".html",
    "application/csv": ".csv",
    "text/x-markdown": ".md",
    **{kind.mime: suffix for suffix, kind in reversed(FORMATS.items())},
}
_SUFFIXES = ("", *dict.fromkeys(_SUFFIX_OF.values()))
_UNSAID = ("application/octet-stream", "binary/octet-stream", "application/zip", "text/plain", "")
_XML = ("application/xml", "text/xml")
_GONE = (404, 410)


@dataclass(slots=True)
class Site:
    """Fetches into folders below `mirrors`, a folder of copies for each host.

    `allows` says which IP addresses may be asked. `pause` waits between pages where
    robots.txt asks for it. `seconds`: the longest that a page may take, with robots.txt and redirections.
    """

    mirrors: Mirror
    allows: Callable[[str], bool] = is_public
    pause: Callable[[float], None] = time.sleep
    seconds: float = 120.0
    unfetched: list[Unfetched] = field(default_factory=list, init=False)
    _robots: dict[str, RobotFileParser | Reason] = field(default_factory=dict, init=False)
    _visited: set[str] = field(default_factory=set, init=False)
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
        for page in self._pages(url):
            try:
                self._wait(page)
                found.append(self._page(page))
            except NotFetchedError as error:
                self.unfetched.append(Unfetched(page, error.reason))
        return found

    def close(self) -> None:
        self._client.close()

    def _pages(self, url: str) -> Iterator[str]:
        if not PurePosixPath(httpx2.URL(url).path).name.lower().endswith((".xml", ".xml.gz")):
            yield url
            return
        host, seen = "", {url}
        lists, pages = [url], list[str]()
        while lists and len(seen) < _MOST_PAGES:
            place = lists.pop(0)
            try:
                response, data = self._read(place, _SITEMAP_BYTES)
                kind, listed = _listed(data)
            except NotFetchedError as error:
                self.unfetched.append(Unfetched(place, error.reason))
                continue
            host = host or response.url.host  # a site may have moved to `www.`
            fresh = [one for one in dict.fromkeys(listed) if one not in seen and _host(one) == host]
            seen.update(fresh)
            (lists if kind == "sitemapindex" else pages).extend(fresh)
        yield from pages[:_MOST_PAGES]
        if len(pages) > _MOST_PAGES or lists:
            self.unfetched.append(Unfetched(url, Reason("ingest.long-sitemap", limit=_MOST_PAGES)))

    def _page(self, url: str) -> str:
        """The name of a page's copy, fetched only if it is another than the one that is there."""
        place = httpx2.URL(url).copy_with(fragment=None)
        possible = (name for suffix in _SUFFIXES for name in _names(place, suffix))
        known = next((name for name in possible if self._owner(name) == str(place)), None)
        origin = self.mirrors.origin(known) if known else None
        asked = {}
        if origin and origin.version:
            asked["If-None-Match"] = origin.version
        if origin and origin.modified:
            asked["If-Modified-Since"] = origin.modified
        try:
            response, data = self._read(str(place), MOST_BYTES, asked)
        except NotFetchedError as error:
            if error.reason.values.get("status") in _GONE and known:
                self.mirrors.drop(known)
            raise
        if response.status_code == 304 and known:
            return known
        names = _names(place, _suffix(str(place), response.headers))
        if known in names:
            name = known
        else:  # the readable one may be another's: `/a`, `/a/` and `/a.html` have one
            name = names[0] if self._owner(names[0]) in (None, str(place)) else names[1]
        if known and known != name:
            self.mirrors.drop(known)
        version, modified = (response.headers.get(one, "") for one in ("ETag", "Last-Modified"))
        self.mirrors.keep(name, data, Origin(str(place), version, modified))
        return name

    def _owner(self, name: str) -> str | None:
        origin = self.mirrors.origin(name)
        return origin.url if origin else None

    def _read(
        self, url: str, limit: int, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        """A reply and its bytes, after redirections. Raises NotFetchedError."""
        ends = time.monotonic() + self.seconds
        for _ in range(_MOST_REDIRECTIONS + 1):
            if httpx2.URL(url).scheme not in ("http", "https"):
                raise NotFetchedError(Reason("ingest.no-web-address", url=url))
            path = httpx2.URL(url).raw_path.decode()
            if not self._rules(url, ends).can_fetch(AGENT, f"http://host{path}"):
                raise NotFetchedError(Reason("ingest.robots"))
            response, data = self._once(url, limit, ends, headers)
            if response.next_request is None:
                break
            url = str(response.next_request.url)
        else:
            raise NotFetchedError(Reason("ingest.redirections", n=_MOST_REDIRECTIONS))
        if response.status_code >= 400:
            raise NotFetchedError(Reason("ingest.http-status", status=response.status_code))
        return response, data

    def _once(
        self, url: str, limit: int, ends: float, headers: Mapping[str, str] | None = None
    ) -> tuple[httpx2.Response, bytes]:
        data = bytearray()
        slow = NotFetchedError(Reason("ingest.slow-reply", seconds=math.ceil(self.seconds)))
        try:
            with (
                cut_off(ends) as traced,
                self._client.stream("GET", url, headers=dict(headers or {}), extensions=traced) as response,
            ):
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise NotFetchedError(Reason("ingest.packed-reply"))
                for piece in response.iter_raw(1 << 16):
                    data += piece
                    if len(data) > limit:
                        raise NotFetchedError(Reason("ingest.too-many-bytes", size=len(data), limit=limit))
                if time.monotonic() >= ends:  # what was cut off may look like the end
                    raise slow
                return response, bytes(data)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            if time.monotonic() >= ends:
                raise slow from error
            raise NotFetchedError(
                Reason("ingest.no-reply", error=str(error) or type(error).__name__)
            ) from error

    def _wait(self, url: str) -> None:
        """Wait between two pages of a host as long as its robots.txt says."""
        host = _host(url)
        if host in self._visited and (
            delay := self._rules(url, time.monotonic() + self.seconds).crawl_delay(AGENT)
        ):
            self.pause(float(min(int(delay), _LONGEST_DELAY)))
        self._visited.add(host)

    def _rules(self, url: str, ends: float) -> RobotFileParser:
        """The host's robots.txt; all is allowed where there is none.

        Raises NotFetchedError where it cannot be had: such a host is asked for nothing.
        """
        place = str(httpx2.URL(url).copy_with(raw_path=b"/robots.txt", fragment=None))
        if place not in self._robots:
            self._robots[place] = self._asked_rules(place, ends)
        rules = self._robots[place]
        if isinstance(rules, Reason):
            raise NotFetchedError(rules)
        return rules

    def _asked_rules(self, place: str, ends: float) -> RobotFileParser | Reason:
        try:
            for _ in range(_MOST_REDIRECTIONS + 1):
                response, data = self._once(place, _ROBOTS_BYTES, ends)
                if response.next_request is None:
                    break
                place = str(response.next_request.url)
        except NotFetchedError as error:
            if error.reason.code in ("ingest.private-address", "ingest.no-reply"):
                return error.reason  # so says the whole host
            return Reason("ingest.no-robots", why=error.reason)
        if response.status_code >= 500:
            why = Reason("ingest.http-status", status=response.status_code)
            return Reason("ingest.no-robots", why=why)
        return _parsed(data if response.status_code == 200 else b"")


def folder_of(url: str) -> str:
    """The folder with the copies of a page's host."""
    place = httpx2.URL(url)
    return folder_name(f"{place.scheme}://{place.netloc.decode()}")


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).host
    except httpx2.InvalidURL:
        return ""


def _parsed(robots: bytes) -> RobotFileParser:
    """The rules of a robots.txt, without lines that Python's parser fails on."""
    rules, lines = RobotFileParser(), robots.decode("utf-8", "replace").splitlines()
    rules.parse([line for line in lines if _is_rule(line)])
    return rules


def _is_rule(line: str) -> bool:
    try:
        RobotFileParser().parse(["User-agent: *", line])
    except ValueError:
        return False
    return True


def _names(place: httpx2.URL, suffix: str) -> tuple[str, str]:
    """The names that a page's copy may have: a readable one, and one that no other address has."""
    path = place.raw_path.decode()
    plain, marked = flat_name(path, suffix), flat_name(path, suffix, marked=True)
    return f"{folder_of(str(place))}/{plain}", f"{folder_of(str(place))}/{marked}"


def _suffix(url: str, headers: httpx2.Headers) -> str:
    """The suffix of what was sent: its type's, or that of its address where the type says no more.

    Raises NotFetchedError for a type that no parser reads.
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
    raise NotFetchedError(Reason("ingest.other-type", mime=mime or "?"))


def _listed(data: bytes) -> tuple[str, list[str]]:
    """The kind of a sitemap, and the addresses in it. Raises NotFetchedError."""
    try:
        if data.startswith(b"\x1f\x8b"):
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(_SITEMAP_BYTES)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, OSError, EOFError, zlib.error, ValueError) as error:
        raise NotFetchedError(Reason("ingest.no-sitemap")) from error
    if root is None or etree.QName(root).localname not in ("urlset", "sitemapindex"):
        raise NotFetchedError(Reason("ingest.no-sitemap"))
    found = [node.text.strip() for node in root.iter("{*}loc") if node.text]
    return etree.QName(root).localname, [url for url in found if url.startswith(("http://", "https://"))]
