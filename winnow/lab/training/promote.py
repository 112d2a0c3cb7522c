"""Writes a rerank spec into winnow.toml as the setting; the rest of the file is unchanged."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import SettingsError
from winnow.app.settings import FILE, Settings

_HEADER = re.compile(r"^\s*\[rerank\]\s*(#.*)?$")
_TABLE = re.compile(r"^\s*\[")
_SPEC = re.compile(r"^\s*spec\s*=")


@dataclass(frozen=True, slots=True)
class Promotion:
    """The place of the setting. `overruled`: the environment sets another spec, which wins."""

    file: Path
    line: int
    text: str
    overruled: bool = False


def setting_line(spec: str) -> str:
    """The line below `[rerank]` that makes a spec the setting."""
    return f"spec = {json.dumps(spec, ensure_ascii=False)}"


def promote(spec: str, before: str, file: Path | None = None) -> Promotion:
    """Write the setting, with the previous spec in a comment.

    Raises SettingsError, with the line to write by hand, for a file that cannot be written or understood.
    """
    path = Path(FILE) if file is None else file
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    line = f"{setting_line(spec)}  # before: {json.dumps(before, ensure_ascii=False)}"
    lines, place = _edited(old.splitlines(), line)
    text = "\n".join(lines) + "\n"
    if not _says(text, old, spec):
        raise SettingsError(
            f"{path} is written in a way that this does not understand, and stays as it is",
            way_out=f"Below [rerank] write: {setting_line(spec)}",
        )
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}",
            way_out=f"Below [rerank] write: {setting_line(spec)}",
        ) from error
    return Promotion(path.resolve(), place + 1, line, Settings.load().rerank.spec != spec)


def _edited(lines: list[str], line: str) -> tuple[list[str], int]:
    """The lines including the setting, and its place."""
    header = next((i for i, text in enumerate(lines) if _HEADER.match(text)), None)
    if header is None:
        gap = [""] if lines and lines[-1].strip() else []
        added = [*lines, *gap, "[rerank]", line]
        return added, len(added) - 1
    end = next((i for i in range(header + 1, len(lines)) if _TABLE.match(lines[i])), len(lines))
    there = next((i for i in range(header + 1, end) if _SPEC.match(lines[i])), None)
    if there is not None:
        return [*lines[:there], line, *lines[there + 1 :]], there
    return [*lines[: header + 1], line, *lines[header + 1 :]], header + 1


def _says(text: str, old: str, spec: str) -> bool:
    """True where old and new file differ in the spec alone."""
    try:
        wanted: dict[str, Any] = tomllib.loads(old)
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    section = wanted.setdefault("rerank", {})
    if not isinstance(section, dict):
        return False
    section["spec"] = spec
    return found == wanted
