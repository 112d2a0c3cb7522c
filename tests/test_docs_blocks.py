"""Checks that winnow takes what the documentation shows: every command, setting, query and program.

Commands are read by the shell's own parser, settings by the settings, SQL by SQLite, programs by Python.
`tests/test_docs_run.py` runs them.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer import TyperException
from typer.main import get_command

from rerank.spec import Spec
from storage.database import Database
from storage.errors import MissingDependencyError
from tests.support.documentation import Block, blocks, commands
from winnow import Settings
from winnow.cli.app import app

BLOCKS = list(blocks())


def _of(*kinds: str) -> list[Any]:
    found = [block for block in BLOCKS if block.kind in kinds]
    assert found
    return [pytest.param(block, id=f"{block.file}:{block.line}") for block in found]


def _context(words: list[str]) -> None:
    """Parse a command as the shell does, without running it."""
    command: Any = get_command(app)
    path: list[str] = []
    while hasattr(command, "commands"):
        path.append(words.pop(0))
        assert path[-1] in command.commands, f"there is no command {' '.join(path)}"
        command = command.commands[path[-1]]
    command.make_context(path[-1], list(words), resilient_parsing=False)


def _winnow_lines() -> Iterator[Any]:
    for block in BLOCKS:
        if block.kind == "shell":
            for line, words in commands(block):
                yield pytest.param(words, id=f"{block.file}:{line}")


@pytest.mark.parametrize("words", list(_winnow_lines()))
def test_every_command_is_one_that_the_shell_takes(words: list[str], tmp_path: Path) -> None:
    """Its name, its options and their values exist."""
    try:
        _context(list(words))
    except TyperException as error:
        pytest.fail(f"winnow {shlex.join(words)}: {error.format_message()}")
    for flag, value in pairwise(words):
        if flag in ("--rerank", "-r", "--spec") and "{" not in value:
            Spec.parse(value)


@pytest.mark.parametrize("block", _of("toml"))
def test_every_setting_exists(block: Block) -> None:
    """Keys and values are those of the settings; what belongs into pyproject.toml is TOML."""
    values = tomllib.loads(block.text)
    if "project" not in values:
        Settings.load(**values)


FRAMEWORKS = {"haystack", "langchain_core", "llama_index"}


@pytest.mark.parametrize("block", _of("python"))
def test_every_program_is_python_and_imports_what_exists(block: Block) -> None:
    """It compiles (with `await` outside of functions, as in a notebook), and its imports succeed.

    Frameworks that winnow has adapters for need not be installed.
    """
    tree = compile(block.text, str(block.file), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(tree, ast.Module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            try:
                exec(compile(ast.Module([node], []), str(block.file), "exec"), {})
            except MissingDependencyError as error:
                pytest.skip(str(error))
            except ModuleNotFoundError as error:
                if error.name not in FRAMEWORKS:
                    raise
                pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("block", _of("json"))
def test_every_json_is_json(block: Block) -> None:
    """A reader may copy it."""
    json.loads(block.text)


@pytest.mark.parametrize("block", _of("sql"))
def test_every_query_names_what_the_log_has(block: Block, tmp_path: Path) -> None:
    """SQLite takes it on an empty log, and its stages are those of a chain that winnow runs."""
    Database.open(tmp_path / "log.db").close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute(block.text).fetchall()
    for stage in re.findall(r"stage = '([^']+)'", block.text):
        assert stage in Spec.parse("balanced").names, stage
