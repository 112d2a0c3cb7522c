"""Files of folders in use are counted while they come and go."""

from __future__ import annotations

import shutil
from pathlib import Path

from storage.disk_space import DiskSpace, files_below


def _filled(folder: Path) -> None:
    for name in ("a", "b", "c"):
        (folder / name / "deeper").mkdir(parents=True)
        (folder / name / "deeper" / "file").write_bytes(b"x" * 10)


def test_what_vanishes_while_files_are_counted_is_left_out(tmp_path: Path) -> None:
    """Folders that were listed and are gone, and files of a folder that was read, end no count."""
    _filled(tmp_path)
    (tmp_path / "one").write_bytes(b"")
    (tmp_path / "two").write_bytes(b"")
    counted = files_below(tmp_path)
    next(counted)
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert list(counted) == []
    assert list(files_below(tmp_path / "never there")) == []


def test_a_size_is_of_files_and_not_of_what_links_lead_to(tmp_path: Path) -> None:
    _filled(tmp_path / "shard")
    (tmp_path / "outside").write_bytes(b"x" * 1000)
    (tmp_path / "shard" / "link").symlink_to(tmp_path / "outside")
    assert DiskSpace(tmp_path / "shard").size() == 30
