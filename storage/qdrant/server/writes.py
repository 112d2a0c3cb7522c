"""Checks after a write to a server that it was not lost: nothing there can be locked.

A re-index swaps generations and then reads the old one once more. A write before that reading is replayed
into the new one; a write after it came after the swap, which this check finds. So none is lost silently.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from secrets import token_hex
from typing import Any, Self

from qdrant_client import models

from storage.errors import NotFoundError, StoreError, StoreLockedError
from storage.locks import this_command
from storage.qdrant.server.generations import CURRENT, in_use, joined, read_aliases, split
from storage.qdrant.server.link import ServerLink

# The key in a collection's own metadata that names who builds it; the swap removes it.
_CLAIM = "winnow_building"
# The key that names what has taken a generation's place, for keys that may not see aliases.
_REPLACED = "winnow_replaced"

# The claims that this process holds: one that it gave up without being able to say so does not count.
_held: set[str] = set()

_BEAT_S = 20.0
# Between two writes a large file may be parsed, or a slow encoder be at work.
SILENT_S = 300.0


class InUse:
    """Writes to a generation that is in use, unless a re-index has taken its place."""

    def __init__(self, physical: str, link: ServerLink) -> None:
        self._physical = physical
        self._link = link

    def check(self) -> None:
        """Raise StoreError where what was just written is lost on everybody else."""
        name = split(self._physical)[0]
        aliases = read_aliases(self._link)
        hidden = joined(name, CURRENT) not in aliases  # or there is none; the key may see others'
        if in_use(name, aliases) != self._physical or (hidden and self._is_replaced()):
            raise StoreError(
                f"the collection {name!r} at {self._link.where} was re-indexed by another process meanwhile: "
                "the last writes went to the old one",
                way_out="Run it again: it writes to the new one, and costs only what is not there.",
            )

    def _is_replaced(self) -> bool:
        try:
            return successor(describe(self._link, self._physical)) is not None
        except NotFoundError:
            return True


@dataclass(frozen=True, slots=True)
class Claim:
    """Names who builds a generation. `beat` is its last sign of life, in Unix time; 0 once it has stopped.

    One is `confirmed` once its process has seen that nobody else was quicker.
    """

    token: str
    host: str
    pid: int
    command: str
    since: float
    beat: float
    confirmed: bool = False

    @classmethod
    def new(cls) -> Self:
        """Return a claim of this process."""
        now = time.time()
        return cls(token_hex(8), socket.gethostname(), os.getpid(), this_command(), now, now)

    @classmethod
    def read(cls, info: models.CollectionInfo) -> Self | None:
        """Read the claim on a collection; None where nobody builds it or it has been in use."""
        written = (info.config.metadata or {}).get(_CLAIM)
        try:
            return cls(**written) if isinstance(written, dict) else None
        except TypeError:  # another version's
            return None

    @property
    def is_held(self) -> bool:
        """True while its process may still be building: on this machine alive, on another one beating."""
        if time.time() - self.beat > SILENT_S:
            return False
        if self.host == socket.gethostname() and self.pid == os.getpid():
            return self.token in _held
        return self.host != socket.gethostname() or _is_alive(self.pid)

    @property
    def note(self) -> dict[str, object]:
        """Return what is written into a collection's metadata."""
        return {_CLAIM: asdict(self)}

    def precedes(self, other: Claim) -> bool:
        """Return whether this one wins against another that began at the same time."""
        return (self.since, self.token) < (other.since, other.token)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"process {self.pid} on {self.host} ({self.command}, since {since})"


class Building:
    """Writes to a generation that this process builds, unless another one has taken it over."""

    def __init__(self, physical: str, link: ServerLink, claim: Claim) -> None:
        self._physical = physical
        self._link = link
        self._claim = claim
        _held.add(claim.token)

    def begin(self) -> None:
        """Claim the generation for this process, whoever built it before."""
        self._write(self._claim)

    def confirm(self) -> None:
        """Say that nobody else was quicker."""
        self._claim = replace(self._claim, confirmed=True)
        self._write(self._claim)

    def check(self) -> None:
        """Raise StoreError as `InUse.check` does; renew this process's claim from time to time."""
        standing = self._standing()
        if standing is None or standing.token != self._claim.token:
            name = split(self._physical)[0]
            who = f"taken over by {standing}" if standing else "removed by another process"
            raise StoreError(
                f"what this process built of {name!r} at {self._link.where} was {who}",
                way_out="Let that one finish, or run it again.",
            )
        if time.time() - standing.beat > _BEAT_S:
            self._write(replace(self._claim, beat=time.time()))

    def end(self) -> None:
        """Give up the claim: what was built can be resumed."""
        _held.discard(self._claim.token)
        standing = self._standing()
        if standing is not None and standing.token == self._claim.token:
            self._write(replace(self._claim, beat=0.0))

    def done(self) -> None:
        """Remove the claim: the generation is in use now."""
        _held.discard(self._claim.token)
        self._write(None)

    def _standing(self) -> Claim | None:
        try:
            return Claim.read(describe(self._link, self._physical))
        except NotFoundError:
            return None

    def _write(self, claim: Claim | None) -> None:
        # null takes the key away
        annotate(self._link, self._physical, claim.note if claim else {_CLAIM: None})


WriteCheck = InUse | Building


def describe(link: ServerLink, physical: str) -> models.CollectionInfo:
    """Describe a generation. Raises NotFoundError."""
    return link.call(physical, lambda client: client.get_collection(physical))


def annotate(link: ServerLink, physical: str, note: Mapping[str, Any]) -> None:
    """Merge keys into the metadata of a generation."""
    link.call(physical, lambda client: client.update_collection(physical, metadata=dict(note)))


def mark_replaced(link: ServerLink, old: str, new: str) -> None:
    """Note on a generation what has taken its place."""
    annotate(link, old, {_REPLACED: new})


def successor(info: models.CollectionInfo) -> str | None:
    """Return what has taken a generation's place; None where nothing has."""
    written = (info.config.metadata or {}).get(_REPLACED)
    return written if isinstance(written, str) else None


def being_built(name: str, claim: Claim) -> StoreLockedError:
    """Return the refusal while somebody re-indexes a collection."""
    return StoreLockedError(
        f"the collection {name!r} is being re-indexed by {claim}",
        way_out="Wait for it or end it. What was killed on another machine is taken for dead after "
        f"{SILENT_S / 60:.0f} minutes without a word.",
    )


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there the call below would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
