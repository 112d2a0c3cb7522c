"""The notebooks of the frameworks: their code runs as it stands, where the framework is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "notebooks"
FRAMEWORKS = {
    "langchain": ("langchain_core", "langchain-core"),
    "llama_index": ("llama_index", "llama-index-core"),
    "haystack": ("haystack", "haystack-ai"),
}
ENGLISH = "Can a reranker bring back a passage that retrieval missed?"
CHINESE = "重排序能找回召回阶段漏掉的段落吗？"


def _cells(name: str) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))["cells"]
    return cells


def test_each_framework_has_a_notebook_without_outputs() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == FRAMEWORKS.keys()
    for name in FRAMEWORKS:
        cells = [cell for cell in _cells(name) if cell["cell_type"] == "code"]
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), name


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_notebook_runs_and_finds_the_passages_in_both_languages(name: str, tmp_path: Path) -> None:
    """Its code cells are one program, run in its folder; the best passages are the right ones."""
    module, package = FRAMEWORKS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{package} is not installed: pip install {package}")
    code = "\n\n".join("".join(cell["source"]) for cell in _cells(name) if cell["cell_type"] == "code")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER, env=env, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for question, file in ((ENGLISH, "why-rerank-after-retrieval.md"), (CHINESE, "faq.csv")):
        asked = [n for n, line in enumerate(lines) if line == question]
        assert len(asked) == 3
        for n in asked:
            five = lines[n + 1 : n + 6]
            assert all(line.startswith("  ") for line in five)
            assert file in five[0]
    assert not (FOLDER / ".winnow").exists()
