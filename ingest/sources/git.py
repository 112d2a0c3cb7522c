"""Copies the files of a git repository at a revision: `git+file:///path@revision#folder`.

Objects are read as they are stored: no filter, hook or attribute that a repository brings is run, and no
object that it lacks is fetched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.loaders.registry import supported
from ingest.sources.mirror import Mirror, Origin, Round, Unfetched, folder_name
from storage.errors import BadInputError, MissingDependencyError

SCHEME = "git+file"
_FILE_MODES = (b"100644", b"100755")
_IGNORE_FILE = ".winnowignore"
# A repository's settings may name commands: git runs those of a remote to fetch an object that is missing.
# The user's own settings hold: they say whose repositories are safe.
_NOTHING_FETCHED = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
_NOTHING_RUN = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")


@dataclass(frozen=True, slots=True)
class Revision:
    """A repository, a revision of it, and a folder in it (all of it where that is empty)."""

    repository: Path
    revision: str
    folder: str = ""

    @classmethod
    def parse(cls, address: str) -> Revision:
        """Read an address; without a revision it is HEAD. Raises BadInputError."""
        parts = urlsplit(address)
        path, at, revision = unquote(parts.path).rpartition("@")
        if not at:
            path, revision = revision, ""
        if parts.scheme != SCHEME or parts.netloc not in ("", "localhost") or not path.startswith("/"):
            raise BadInputError(
                f"{address} is no repository of this machine",
                way_out="Name one: git+file:///path/to/repository@revision#folder",
            )
        if revision.startswith("-"):
            raise BadInputError(f"{revision!r} is no revision")
        return cls(Path(path), revision or "HEAD", unquote(parts.fragment).strip("/"))

    def __str__(self) -> str:
        return f"{SCHEME}://{self.repository.as_posix()}@{self.revision}"


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    blob: str
    size: int


def copy(revision: Revision, mirrors: Mirror) -> tuple[str, list[Unfetched]]:
    """Bring a folder of copies up to date and return its name, and what could not be copied.

    Files of formats that no parser knows, links and submodules are left out. Raises BadInputError for what is
    no repository or revision, MissingDependencyError without git.
    """
    folder = folder_name(f"{revision}#{revision.folder}")
    copies = Round(Mirror(mirrors.path(folder)))
    for file in _files(revision):
        read = partial(_git, revision, ["cat-file", "blob", file.blob])
        copies.bring(file.name, Origin(f"{revision}#{file.name}", file.blob), file.size, read)
    return folder, copies.end()


def _files(revision: Revision) -> Iterator[_File]:
    command = ["ls-tree", "-r", "-z", "--long", "--full-tree", revision.revision]
    listed = _git(revision, [*command, "--", revision.folder] if revision.folder else command)
    for line in listed.split(b"\0"):
        facts, _, name = line.partition(b"\t")
        mode, _, blob, size = (*facts.split(), b"", b"", b"", b"")[:4]
        path = name.decode("utf-8", "replace")
        if mode in _FILE_MODES and (supported(path) or Path(path).name == _IGNORE_FILE):
            # an object that is missing has no size
            yield _File(path, blob.decode(), int(size) if size.isdigit() else 0)


def _git(revision: Revision, arguments: list[str]) -> bytes:
    # GIT_DIR and its like, which git gives to hooks, would name another repository than the address does
    given = {name: value for name, value in dict(os.environ).items() if not name.startswith("GIT_")}
    command = ["git", "--no-replace-objects", *_NOTHING_RUN, "-C", str(revision.repository), *arguments]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=given | _NOTHING_FETCHED
        )
        return done.stdout
    except FileNotFoundError as error:
        raise MissingDependencyError("git is not installed", way_out="Install git.") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().rpartition("fatal: ")[2]
        raise BadInputError(f"{revision} cannot be read: {said}") from error
