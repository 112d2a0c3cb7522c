"""The rules of who may import whom, and what stays out of a light import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("storage", "ingest", "retrieval", "rerank", "generation", "winnow")
STAGES = ("ingest", "retrieval", "rerank", "generation")
NOUNS = ("storage/records.py", "storage/errors.py")

MODULES = [
    path.relative_to(ROOT)
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "versions" not in path.parts
]


def _allowed(module: Path) -> set[str]:
    if module.as_posix() in NOUNS:
        return set()
    folder = module.parts[0]
    if folder == "winnow":
        return set(FOLDERS)
    return {"storage"} if folder == "storage" else {folder, "storage"}


def _imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            names.add((node.module or "").split(".")[0])
    return names & set(FOLDERS)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_the_design_allows(module: Path) -> None:
    """Stages import storage and themselves, storage imports nobody, only winnow imports everything."""
    forbidden = _imported((ROOT / module).read_text(encoding="utf-8")) - _allowed(module)
    assert not forbidden, f"{module} imports {forbidden}"


def test_the_rule_catches_a_breach() -> None:
    """The check above sees imports inside functions too."""
    assert _imported("def f():\n    from rerank.chain import Chain\n") == {"rerank"}


@pytest.mark.parametrize(
    "module", ["winnow", "rerank", "rerank.registry", "storage.records", "winnow.cli.app"]
)
def test_a_light_import_loads_neither_torch_nor_qdrant(module: str) -> None:
    """`import winnow` and `winnow --help` must answer at once."""
    heavy = (
        "torch, transformers, sentence_transformers, qdrant_edge, qdrant_client, openai, sqlalchemy, numpy"
    )
    code = f"import sys, {module}; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout)) - ({"numpy"} if module.startswith("rerank.") else set())
    assert not loaded


def test_only_settings_reads_the_environment() -> None:
    """A key in the environment can reach no other module."""
    reading = re.compile(r"getenv|os\.environ\.(get|items)|os\.environ\[[^]]+\](?! *=)|in os\.environ")
    readers = [module for module in MODULES if reading.search((ROOT / module).read_text(encoding="utf-8"))]
    assert readers == [Path("winnow/app/settings.py")]


def test_a_users_package_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    """A folder `storage` in front of ours on the path gives an error that names both."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import winnow"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "storage" in done.stderr
    assert "Rename that one" in done.stderr
