"""Runs the documentation: every command and program in it, on a fresh data folder without a network.

What is not run has a reason: a line `<!-- not run: why -->` before its block, or its program's in `NOT_HERE`.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.documentation import ROOT, Block, blocks, shell_lines
from tests.support.serving import serving
from winnow import Settings

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(os.name != "posix", reason="the blocks are for a POSIX shell"),
]

# What begins like this is for another program, runs until it is stopped, or is another test's.
NOT_HERE = {
    r"python -P benchmarks/": "measures for minutes, over data of its own",
    r"pip |make |docker |export |claude |datasette |python -m pytest|pbpaste ": "another program's",
    r"winnow (watch|serve|mcp|chat)\b": "runs until it is stopped: tests/winnow/cli, server, mcp",
    r"winnow (evaluate|mine|train|synthesize)\b": "measures and trains for minutes: tests/winnow/lab",
    r"winnow models fetch": "needs the hub",
    r"WINNOW_TEST_DATABASE_URL|WINNOW_STORE__URL|.*--engine ray": "needs a server",
    r".*--answerer openai|.*listwise": "needs a chat model: tests/generation, tests/rerank",
    r"curl https:|curl localhost:8765/v1/ingest/": "an example's address",
    r"winnow token revoke|cat 笔记": "an example's names",
}

# Those that winnow has adapters for, with a package of theirs.
FRAMEWORKS = {"langchain": "langchain_core", "llama_index": "llama_index", "haystack": "haystack"}


def _reason(line: str) -> str:
    return next((why for start, why in NOT_HERE.items() if re.match(start, line)), "")


def _shell() -> Iterator[object]:
    for block in blocks():
        if block.kind == "shell" and any(not _reason(line) for _, line in shell_lines(block)):
            marks = [pytest.mark.skip(reason=block.reason)] if block.reason else []
            yield pytest.param(block, id=f"{block.file}:{block.line}", marks=marks)


def _python() -> Iterator[object]:
    for block in blocks():
        if block.kind == "python":
            marks = [pytest.mark.skip(reason=block.reason)] if block.reason else []
            yield pytest.param(block, id=f"{block.file}:{block.line}", marks=marks)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what the examples name, ingested, and with answers in the log."""
    folder = tmp_path_factory.mktemp("docs run")
    for name in ("docs", "文档"):
        (folder / name).mkdir()
        for source in ("answers", "log"):
            shutil.copy(ROOT / "docs" / f"{source}.md", folder / name)
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name, like in (("notes.pdf", "*.pdf"), ("手册.pdf", "*.pdf"), ("paper.pdf", "*.pdf")):
        shutil.copy(next((ROOT / "examples").rglob(like)), folder / name)
    (folder / "notes.md").write_text("# Notes\n\nReranking reorders candidates.\n", encoding="utf-8")
    (folder / "passages.txt").write_text("Apples keep.\nBananas rot.\n", encoding="utf-8")
    (folder / "data").mkdir()
    program = folder / "bin" / "winnow"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m winnow "$@"\n')
    program.chmod(0o755)
    shutil.copy(ROOT / "docs" / "answer.schema.json", folder / "docs")
    _run(folder, "winnow ingest docs/ && winnow ingest docs/ -c handbook && winnow ask 'What is a replay?'")
    return folder


def _run(place: Path, line: str) -> str:
    path = os.pathsep.join([str(place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=place, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, f"{line}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    return ended.stdout


def _filled(place: Path, line: str) -> str:
    """Put an answer's id, a question and a file in the places that examples leave open."""
    if re.search(r"\bID\b", line):
        [newest] = json.loads(_run(place, "winnow log list -n 1 --json"))
        line = re.sub(r"\bID\b", newest["id"], line)
    return re.sub(r"(['\"])(?:…|\.\.\.)\1", "'What does reranking change?'", line)


@pytest.mark.parametrize("block", list(_shell()))
def test_every_command_runs(place: Path, block: Block) -> None:
    """Each line as it stands, but for ids and ellipses; `ask` and the like end with 0."""
    lines = [_filled(place, line) for _, line in shell_lines(block) if not _reason(line)]
    if not any("localhost:8765" in line for line in lines):
        for line in lines:
            _run(place, line)
        return
    with serving(Settings.load(data_dir=place / ".winnow")) as server:
        for line in lines:
            _run(place, line.replace("localhost:8765", server.url.removeprefix("http://")))


@pytest.mark.parametrize("block", list(_python()))
def test_every_program_runs(place: Path, block: Block) -> None:
    """Each as it stands, in a process of its own, with the pipeline that the earlier text has made."""
    for name, package in FRAMEWORKS.items():
        if f"winnow.integrations.{name} import" in block.text and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    first = json.loads(_run(place, "winnow log list -n 1 --json"))[0]["id"]
    text = (
        block.text.replace('"3f2a"', repr(first))
        .replace("…", "What is a replay?")
        .replace("listwise:5", "fusion")
    )
    if "RAGPipeline" not in text and "pipeline" in text:
        text = f"from winnow import RAGPipeline\npipeline = RAGPipeline.from_settings()\n{text}"
    compile(text, block.file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    if "localhost:8765" in text:
        with serving(Settings.load(data_dir=place / ".winnow")) as server:
            _program(place, body.replace("http://localhost:8765", server.url))
        return
    _program(place, body)


def _program(place: Path, body: str) -> None:
    """Run statements, of which some may await, as a notebook does."""
    whole = f"import asyncio, contextlib\n\nasync def main():\n{body}\nasyncio.run(main())\n"
    (place / "program.py").write_text(whole, encoding="utf-8")
    _run(place, "python program.py")
