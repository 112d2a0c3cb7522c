"""Routes, pages and tools reach questions, log, manifest and store through `Visible` alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from winnow import RAGPipeline
from winnow.app.wiring import Wiring
from winnow.server.worker import Worker

_ROOT = Path(__file__).resolve().parents[4] / "winnow" / "server"

# What leads past the rights, by the name under which its owner goes.
_PIPELINE = {"ask", "aask", "search", "asearch", "stream", "astream", "log", "log_of", "continued", "ingest"}
_JOBS = {"all", "get"}
_PAST: Mapping[str, set[str]] = {
    "pipeline": _PIPELINE,
    "_pipeline": _PIPELINE,
    "wiring": {
        "collection",
        "collections",
        "stores",
        "manifest",
        "answers",
        "database",
        "deletions",
        "uploads",
    },
    "jobs": _JOBS,
    "comparisons": _JOBS,
}
# These apply the rights themselves, or are of no request.
_ALLOWED = {
    "visible.py": {"pipeline", "wiring"},
    "warm_up.py": {"wiring"},  # counts collections
    "run.py": {"jobs"},  # says at the end which uploads wait
    "upload_jobs.py": {"pipeline", "wiring"},  # does what was accepted
    "pages/settings.py": {"jobs", "comparisons"},  # refused to who sees a part
    "api/ingesting.py": {"jobs"},  # by the collections that are seen
    "api/inventory.py": {"wiring"},  # how a collection that is seen was built; deletes for who may
    "pages/views/collections.py": {"wiring"},  # the same; more of it for who sees the whole
    "mcp/desk.py": {"wiring"},  # closes collections
    "mcp/tools.py": {"pipeline"},  # ingests, for who sees everything
}
# Methods that show nothing of passages, documents or answers.
_HARMLESS = {"from_settings", "wiring", "warm", "close"}


def _past(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in _PAST.get(owner, ()):
                yield owner.lstrip("_")


def test_no_route_goes_past_the_rights() -> None:
    """Only the files that apply the rights touch what is to be hidden; each of them still does."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in _ROOT.rglob("*.py"):
        for owner in _past(ast.parse(path.read_text("utf-8"))):
            found[path.relative_to(_ROOT).as_posix()].add(owner)
    assert found == _ALLOWED


def test_a_new_way_in_is_thought_of() -> None:
    """Whatever a pipeline offers is held to the rights or shows nothing; no name here is out of date."""
    public = {name for name in vars(RAGPipeline) if not name.startswith("_")}
    assert public == _PIPELINE | _HARMLESS
    assert set(vars(Worker)) >= _JOBS
    assert {name for name in _PAST["wiring"] if name != "collections"} <= set(dir(Wiring))
