"""The small JSON files of a data folder: whatever is in them ends in a clear error, or counts as missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.sources.mirror import origin_of
from storage.errors import BadInputError, SettingsError, StoreCorruptError
from storage.private_files import read_object
from storage.qdrant.edge.folder import CollectionFolder
from winnow import Settings
from winnow.app.stores import open_stores
from winnow.server.tokens import TokenBook
from winnow.upkeep.backup_contents import CONTENTS, BackupContents

DAMAGED = {
    "bytes": b"\xff\xfe",
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"1",
    "text": b'"x"',
    "deep": b"[" * 100_000,
    "digits": b'{"dim": ' + b"9" * 5_000 + b"}",
    "numbers": b"[1]",
    "keys": b'{"nobody": "knows this"}',
}


@pytest.fixture(params=DAMAGED.values(), ids=DAMAGED.keys())
def damage(request: pytest.FixtureRequest) -> bytes:
    found: bytes = request.param
    return found


def test_a_damaged_fingerprint_is_told_and_a_draft_is_none(tmp_path: Path, damage: bytes) -> None:
    """The collection's own file gives the way out; that of a re-index is not resumed."""
    folder = CollectionFolder(tmp_path)
    for name in ("fingerprint.json", "rebuild.json"):
        (tmp_path / name).write_bytes(damage)
    with pytest.raises(StoreCorruptError, match="cannot be read") as told:
        folder.current()
    assert "doctor --repair" in told.value.way_out
    assert folder.draft() is None


def test_a_damaged_token_file_lets_nobody_in(tmp_path: Path, damage: bytes) -> None:
    """Whatever is no list of tokens is no token file; an empty list is one without tokens."""
    (tmp_path / "tokens.json").write_bytes(damage)
    if damage == DAMAGED["list"]:
        assert TokenBook(tmp_path / "tokens.json").tokens() == ()
        return
    with pytest.raises(SettingsError, match="cannot be used"):
        TokenBook(tmp_path / "tokens.json").tokens()


def test_a_damaged_backup_is_none(tmp_path: Path, damage: bytes) -> None:
    """Restoring is refused before anything is written."""
    (tmp_path / CONTENTS).write_bytes(damage)
    with pytest.raises(BadInputError, match="holds no complete backup"):
        BackupContents.read(tmp_path)


def test_a_copy_with_damaged_facts_has_no_origin(tmp_path: Path, damage: bytes) -> None:
    """It is fetched again."""
    (tmp_path / "page.html").write_text("x")
    facts = tmp_path / ".fetched" / "page.html.json"
    facts.parent.mkdir()
    facts.write_bytes(damage)
    assert origin_of(tmp_path / "page.html") is None


def test_settings_that_are_nested_too_deeply_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback of the parser's."""
    (tmp_path / "winnow.toml").write_text("a = " + "[" * 100_000)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"winnow\.toml"):
        Settings.load()


def test_a_file_in_the_place_of_the_data_folder_is_named(tmp_path: Path) -> None:
    """It is not said that there are no collections yet."""
    (tmp_path / "data").write_text("x")
    with pytest.raises(SettingsError, match="is a file"):
        open_stores(Settings.load(data_dir=tmp_path / "data"))


def test_tokens_that_cannot_be_written_name_the_disk(tmp_path: Path) -> None:
    """The way out is not to remove the file."""
    (tmp_path / "tokens.part").mkdir()
    with pytest.raises(SettingsError, match="cannot be written") as told:
        TokenBook(tmp_path / "tokens.json").create("one", "read")
    assert "room" in told.value.way_out


def test_an_object_is_read(tmp_path: Path) -> None:
    """What was written comes back."""
    (tmp_path / "one.json").write_text('{"a": [1]}')
    assert read_object(tmp_path / "one.json") == {"a": [1]}
