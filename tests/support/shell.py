"""Helpers for tests of the command line: a command in this process, and a data folder to run it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from winnow.cli.app import app

QUESTION = "What does a reranker do?"


def run(*words: object) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def as_json(*words: object) -> Any:
    """Run a command with --json and return its parsed output."""
    result = run(*words, "--json")
    return json.loads(result.stdout)


def ingested(root: Path) -> Path:
    """Return a data folder below `root` with one English and one Chinese document ingested."""
    docs = root / "docs 文档"
    docs.mkdir()
    (docs / "en.md").write_text(
        "# Rerankers\n\nA reranker reorders candidates by relevance.\n", encoding="utf-8"
    )
    (docs / "zh.txt").write_text("重排序（reranker）按相关性重新排列候选段落。", encoding="utf-8")
    result = run("ingest", docs, "--data-dir", root / "data")
    assert result.exit_code == 0, result.output
    return root / "data"
