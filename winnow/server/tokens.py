"""The access tokens of a server. A token is shown once; only its SHA-256 is stored.

A fast hash is enough: a token has 256 random bits and cannot be guessed, unlike a password.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from storage.errors import BadInputError, NotFoundError, SettingsError
from storage.log.records import LogRight
from storage.private_files import read_json
from storage.qdrant.contract import checked_name
from storage.qdrant.filters import parse_filter
from winnow.app.visibility import Visibility

Scope = Literal["read", "full"]
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Token:
    """The stored part of a token. `read` may ask and look, `full` may change things, too.

    The rest is what its holder may see (`winnow.app.visibility`); a token of an earlier version sees
    everything. `where` is a filter's text; empty: none.
    """

    id: str
    name: str
    scope: Scope
    created_at: str
    sha256: str
    collections: tuple[str, ...] | None = None
    where: str = ""
    log: LogRight = "all"

    @property
    def visibility(self) -> Visibility:
        """Return the holder's rights. Raises BadInputError where the filter cannot be read."""
        where = parse_filter(self.where) if self.where else None
        return Visibility(asker=self.id, collections=self.collections, where=where, log=self.log)


class TokenBook:
    """The tokens in a file that several processes may change: a revoked one is refused at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    def create(
        self,
        name: str,
        scope: Scope,
        *,
        collections: Sequence[str] | None = None,
        where: str = "",
        log: LogRight | None = None,
    ) -> tuple[Token, str]:
        """Create a token and return it with its text, which is stored nowhere.

        Without a choice of `log`, only who may change everything sees the answers of others. Raises
        BadInputError, SettingsError.
        """
        if not name.strip() or len(name) > 100:
            raise BadInputError("a token needs a name of at most 100 characters", way_out="Say who uses it.")
        identifier = token_hex(4)
        text = f"winnow_{identifier}_{token_urlsafe(32)}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        seen = None if collections is None else tuple(dict.fromkeys(map(checked_name, collections)))
        everything = scope == "full" and seen is None and not where
        right = log or ("all" if everything else "own")
        token = Token(identifier, name, scope, now, _digest(text), seen, where, right)
        _ = token.visibility  # a filter that cannot be read is told here
        with self._changing() as tokens:
            self._write([*tokens, token])
        return token, text

    def revoke(self, identifier: str) -> Token:
        """Remove a token and return it. Raises NotFoundError."""
        with self._changing() as tokens:
            found = next((token for token in tokens if token.id == identifier), None)
            if found is None:
                raise NotFoundError(f"there is no token {identifier!r}", way_out="See: winnow token list")
            self._write([token for token in tokens if token is not found])
        return found

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, oldest first. Raises SettingsError where the file cannot be read."""
        try:
            state = self._file.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen != self._seen:
            self._tokens, self._seen = self._read(), seen
        return self._tokens

    def find(self, text: str) -> Token | None:
        """Find the token with that text, in a time that does not reveal which one matches, or how closely."""
        digest, found = _digest(text), None
        for token in self.tokens():
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    @contextmanager
    def _changing(self) -> Iterator[tuple[Token, ...]]:
        try:
            with FileLock(self._file.with_suffix(".lock"), timeout=_PATIENCE_S):
                yield self.tokens()
        except Timeout:
            raise self._unusable("another process is changing it") from None
        except OSError as error:
            raise SettingsError(
                f"the tokens in {self._file} cannot be written: {error.strerror or error}",
                way_out="This user must be able to write there, and the disk must have room.",
            ) from error

    def _read(self) -> tuple[Token, ...]:
        try:
            return tuple(map(_token, read_json(self._file)))
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        except BadInputError as error:
            raise self._unusable(str(error)) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise self._unusable("it holds no list of tokens") from error

    def _write(self, tokens: Sequence[Token]) -> None:
        part = self._file.with_suffix(".part")
        part.unlink(missing_ok=True)
        # only the owner may read even the hashes
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump([asdict(token) for token in tokens], file, indent=1)
        part.replace(self._file)

    def _unusable(self, why: str) -> SettingsError:
        return SettingsError(
            f"the tokens in {self._file} cannot be used: {why}",
            way_out="Repair or remove the file; without it, there are no tokens.",
        )


def _token(values: dict[str, Any]) -> Token:
    """Make a token of a file's values. Raises where any of its rights cannot be read: nobody gets more."""
    collections = values.get("collections")
    token = Token(**{**values, "collections": None if collections is None else _names(collections)})
    if token.scope not in get_args(Scope) or token.log not in get_args(LogRight):
        raise ValueError("no such right")
    _ = token.visibility
    return token


def _names(collections: object) -> tuple[str, ...]:
    if not isinstance(collections, list):
        raise TypeError("collections are no list")
    return tuple(checked_name(name) for name in collections)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
