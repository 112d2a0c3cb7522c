"""Import rules: which module may import which, and which libraries a light import leaves out."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("storage", "ingest", "retrieval", "rerank", "generation", "winnow")
NOUNS = tuple(f"storage.{noun}" for noun in ("records", "errors", "vectors", "chat", "reasons", "secrets"))
FILES = ("storage.locks", "storage.disk_space", "storage.memory", "storage.private_files")
STAGES = ("storage", "ingest", "retrieval", "rerank", "generation")

# The packages that a module may import from; the longest prefix of its name decides.
RINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NOUNS, NOUNS),
    "storage": ("storage",),
    "storage.qdrant": (*NOUNS, "storage.qdrant", *FILES),
    "storage.qdrant.edge": (*NOUNS, "storage.qdrant", *FILES),
    "storage.log": (
        *(*NOUNS, "storage.log", "storage.tables", "storage.database", "storage.private_files"),
        "storage.sqlite.errors",
    ),
    **{stage: (stage, "storage") for stage in STAGES[1:]},
    "rerank.cross": ("rerank.cross", "rerank.base", "rerank.spec", "storage"),
    "rerank.api": ("rerank.api", "rerank.base", "storage"),
    "winnow": (
        *STAGES,
        "winnow.app",
        "winnow.upkeep",
        "winnow.lab",
        "winnow.log",
        "winnow.pipeline",
        "winnow.version",
    ),
    "winnow.app": (*STAGES, "winnow.app", "winnow.version"),
    "winnow.upkeep": (*STAGES, "winnow.app", "winnow.upkeep", "winnow.version"),
    "winnow.lab": (*STAGES, "winnow.app", "winnow.lab", "winnow.version"),
    "winnow.cli": (*STAGES, "winnow"),
    "winnow.integrations": ("storage", "winnow.app", "winnow.pipeline", "winnow.integrations", "rerank"),
    "winnow.server": (*STAGES, "winnow"),
    "winnow.__main__": (*STAGES, "winnow"),
}
# Siblings within a ring: the first must not import the second.
APART = (
    ("storage.qdrant.edge", "storage.qdrant.server"),
    ("storage.qdrant.server", "storage.qdrant.edge"),
    ("rerank.llm", "rerank.strategies"),
    ("winnow.server", "winnow.cli"),
)

# A folder that holds more than this is split, so that its list of names can be read at a glance.
MOST_MODULES = 21


def _modules() -> dict[str, Path]:
    """Return every module of the project by its dotted name."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "versions" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(source: str) -> set[str]:
    """Return the project's modules that a source imports: at the top, in functions, for type checkers."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in MODULES else node.module or "")
    return {name for name in names if name.partition(".")[0] in FOLDERS}


IMPORTS = {
    name: _imported(path.read_text(encoding="utf-8")) - {name, name.partition(".")[0]}
    for name, path in MODULES.items()
}


def _within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_ring_allows(module: str) -> None:
    """Nouns ← stages ← app ← (upkeep, lab) ← (cli, server), wherever in a module the import is."""
    ring = max((prefix for prefix in RINGS if _within(module, (prefix,))), key=len)
    forbidden = {name for name in IMPORTS[module] if not _within(name, RINGS[ring])}
    assert not forbidden, f"{module} (ring {ring}) imports {forbidden}"


@pytest.mark.parametrize(("one", "other"), APART)
def test_siblings_do_not_know_each_other(one: str, other: str) -> None:
    """Adapters and strategies stay replaceable: they do not import their siblings."""
    modules = [module for module in MODULES if _within(module, (one,))]
    assert modules
    assert not [(module, name) for module in modules for name in IMPORTS[module] if _within(name, (other,))]


def test_no_module_imports_itself_in_a_circle() -> None:
    """There are no import cycles, lazy and type-checking imports included."""
    waiting = {name: set(names) & set(MODULES) for name, names in IMPORTS.items()}
    while free := [name for name, names in waiting.items() if not names]:
        for name in free:
            del waiting[name]
        for names in waiting.values():
            names.difference_update(free)
    assert not waiting, f"in a circle, or above one: {sorted(waiting)}"


def test_no_folder_is_too_full() -> None:
    """No folder exceeds the limit on modules, nor holds a fifth of the code."""
    sizes = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    folders = {path.parent for path in MODULES.values()}
    for folder in folders:
        own = [name for name, path in MODULES.items() if path.parent == folder and path.name != "__init__.py"]
        assert len(own) <= MOST_MODULES, folder
        assert sum(sizes[name] for name in own) < sum(sizes.values()) / 5, folder


def test_a_class_name_means_one_thing() -> None:
    """No two modules define a class of the same name; adapters mean the same in each framework."""
    homes: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        if name.startswith("winnow.integrations."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    assert not {name: where for name, where in homes.items() if len(where) > 1}


def test_the_rules_catch_a_breach() -> None:
    """The checks above also see imports inside functions."""
    assert _imported("def f():\n    from rerank.chain import Chain\n") == {"rerank.chain"}


@pytest.mark.parametrize(
    "module", ["winnow", "rerank", "rerank.registry", "storage.records", "winnow.cli.app"]
)
def test_a_light_import_loads_neither_torch_nor_qdrant(module: str) -> None:
    """`import winnow` and `winnow --help` load neither torch nor Qdrant."""
    heavy = (
        "torch, transformers, sentence_transformers, qdrant_edge, qdrant_client, openai, sqlalchemy, numpy"
    )
    code = f"import sys, {module}; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout)) - ({"numpy"} if module.startswith("rerank.") else set())
    assert not loaded


def test_only_settings_reads_the_environment() -> None:
    """No module but the settings reads the environment."""
    reading = re.compile(r"getenv|os\.environ\.(get|items)|os\.environ\[[^]]+\](?! *=)|in os\.environ")
    readers = [name for name, path in MODULES.items() if reading.search(path.read_text(encoding="utf-8"))]
    assert readers == ["winnow.app.settings"]


def test_a_users_package_of_the_same_name_is_noticed(tmp_path: Path) -> None:
    """A folder `storage` that shadows the project's gives an error that names both."""
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import winnow"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "storage" in done.stderr
    assert "Rename that one" in done.stderr
