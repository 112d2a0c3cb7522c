"""Connects to public addresses only: an address of this machine or its network is not fetched unawares.

A name is looked up once, every address that it has is checked, and the connection goes to one of those: a
name that changes its address in between gains nothing. Redirections come through here as well.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Timer
from typing import Any

import httpx2

from storage.reasons import Reason

# IPv4 within IPv6, as translators write it.
_TRANSLATED = IPv6Network("64:ff9b::/96")
# The one part of IPv6 that is given to hosts of the internet: what lies outside (older forms of IPv4, sites,
# a translator of one's own) ends in somebody's network. Python 3.11 does not know the range for examples.
_UNICAST, _EXAMPLES = IPv6Network("2000::/3"), IPv6Network("3fff::/20")


class NotFetchedError(Exception):
    """Something that is not fetched, such as a page of a private address; the text is a reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def is_public(address: str) -> bool:
    """True for an IP address that anyone on the internet can reach."""
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found in _TRANSLATED:
            found = IPv4Address(int(found) & 0xFFFFFFFF)
        elif inner := found.ipv4_mapped or found.sixtofour:
            found = inner
        elif found not in _UNICAST or found in _EXAMPLES:
            return False
    return found.is_global and not found.is_multicast


class CheckedAddresses(httpx2.BaseTransport):
    """Sends requests to addresses that it has checked, with the host's name for the certificate.

    `allows` says which addresses (IPv4 and IPv6, as text) may be asked. Raises NotFetchedError and
    httpx2.ConnectError.
    """

    def __init__(self, allows: Callable[[str], bool] = is_public) -> None:
        limits = httpx2.Limits(max_keepalive_connections=0)  # an address may serve several hosts
        self._transport = httpx2.HTTPTransport(limits=limits)
        self._allows = allows

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        addresses = _addresses(host, request.url.port or (443 if request.url.scheme == "https" else 80))
        if closed := [one for one in addresses if not self._allows(one)]:
            raise NotFetchedError(Reason("ingest.private-address", host=host, address=closed[0]))
        failed: httpx2.ConnectError | None = None
        for address in addresses:
            extensions = {**request.extensions, "sni_hostname": host}
            place = request.url.copy_with(host=address.partition("%")[0])
            there = httpx2.Request(
                request.method, place, headers=request.headers, stream=request.stream, extensions=extensions
            )
            try:
                return self._transport.handle_request(there)
            except httpx2.ConnectError as error:
                failed = error
        raise failed or httpx2.ConnectError(f"{host} has no address")

    def close(self) -> None:
        self._transport.close()


@contextmanager
def cut_off(ends: float) -> Iterator[dict[str, Any]]:
    """Give what a request takes as `extensions`; at `ends` (monotonic time) its connection is cut off.

    A timeout alone holds for one read: a server that sends a byte now and then has all the time it likes.
    """
    sockets: list[socket.socket] = []

    def note(event: str, about: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            sockets.append(about["return_value"].get_extra_info("socket"))

    def cut() -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    timer = Timer(ends - time.monotonic(), cut)
    timer.daemon = True
    timer.start()
    try:
        yield {"trace": note}
    finally:
        timer.cancel()


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx2.ConnectError(f"{host} has no address: {error}") from error
    return list(dict.fromkeys(str(place[4][0]) for place in found))
