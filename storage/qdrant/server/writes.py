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
from storage.qdrant.server.generations import in_use, read_aliases, split
from storage.qdrant.server.link import ServerLink

# The key in a collection's own metadata that names who builds it; the swap removes it.
_CLAIM = "winnow_building"

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
        if in_use(name, read_aliases(self._link)) != self._physical:
            raise StoreError(
                f"the collection {name!r} at {self._link.where} was re-indexed by another process meanwhile: "
                "the last writes went to the old one",
                way_out="Run it again: it writes to the new one, and costs only what is not there.",
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """Names who builds a generation. `beat` is its last sign of life, in Unix time; 0 once it has stopped."""

    token: str
    host: str
    pid: int
    command: str
    since: float
    beat: float

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
        return self.host != socket.gethostname() or _is_alive(self.pid)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"process {self.pid} on {self.host} ({self.command}, since {since})"


class Building:
    """Writes to a generation that this process builds, unless another one has taken it over."""

    def __init__(self, physical: str, link: ServerLink) -> None:
        self._physical = physical
        self._link = link
        self._claim = Claim.new()

    def begin(self) -> None:
        """Claim the generation for this process, whoever built it before."""
        self._write(asdict(self._claim))

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
            self._write(asdict(replace(self._claim, beat=time.time())))

    def end(self) -> None:
        """Give up the claim: what was built can be resumed."""
        standing = self._standing()
        if standing is not None and standing.token == self._claim.token:
            self._write(asdict(replace(self._claim, beat=0.0)))

    def done(self) -> None:
        """Remove the claim: the generation is in use now."""
        self._write(None)

    def _standing(self) -> Claim | None:
        physical = self._physical
        try:
            return Claim.read(self._link.call(physical, lambda client: client.get_collection(physical)))
        except NotFoundError:
            return None

    def _write(self, claim: Mapping[str, Any] | None) -> None:
        physical = self._physical
        # merged with the rest of the metadata; null takes the key away
        note = {_CLAIM: claim}
        self._link.call(physical, lambda client: client.update_collection(physical, metadata=note))


WriteCheck = InUse | Building


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
