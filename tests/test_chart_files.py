"""The files of chart and workflows, checked without helm and runners: values, templates, versions, paths."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "docs" / "deploy" / "helm"
TEMPLATES = sorted((CHART / "templates").iterdir())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)


def _values() -> dict[str, Any]:
    loaded = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_chart_installs_this_version() -> None:
    """The chart's application is the version of pyproject.toml, and its Qdrant that of the compose file."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"] == version
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert _values()["qdrant"]["image"] == compose["services"]["qdrant"]["image"]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_use_values_that_there_are(template: Path) -> None:
    """Every `.Values` path has a default, every block ends, and what is included is defined."""
    text = template.read_text("utf-8")
    for path in re.findall(r"\.Values\.([A-Za-z.]+)", text):
        value: Any = _values()
        for part in path.split("."):
            assert part in value, f"{template.name}: {path}"
            value = value[part]
    actions = [action.split()[0] for action in _ACTION.findall(text) if action]
    opened = sum(word in ("if", "range", "with", "define") for word in actions)
    assert opened == actions.count("end")
    helpers = (CHART / "templates" / "_helpers.tpl").read_text("utf-8")
    for name in re.findall(r'include "([^"]+)"', text):
        assert f'define "{name}"' in helpers


def test_every_value_is_used() -> None:
    """A value that no template reads would promise what does not happen."""
    texts = "".join(path.read_text("utf-8") for path in TEMPLATES)
    for name, value in _values().items():
        nested = value if isinstance(value, dict) and name not in ("env", "resources") else {"": None}
        for inner in nested:
            assert f".Values.{name}{'.' + inner if inner else ''}" in texts, f"{name}.{inner}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_there(path: Path) -> None:
    """Each workflow is YAML with jobs, may write nothing by default, and runs files that exist."""
    text = path.read_text("utf-8")
    loaded = yaml.safe_load(text)
    assert loaded["permissions"] == {"contents": "read"}
    assert loaded["jobs"]
    for named in re.findall(r"(?:\.ci|\.github|docs)/[\w./-]*\w", text):
        assert (ROOT / named).exists(), named


def test_a_change_is_tested_once() -> None:
    """Of the workflows that a change starts one runs lint, types and tests; the night runs other tests."""
    loaded = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in WORKFLOWS}
    commands = {
        name: [
            step["run"]
            for job in workflow["jobs"].values()
            for step in job["steps"]
            if re.search(r"\.ci/run|make (test(?!-qdrant)|check)|pytest|ruff|mypy", step.get("run", ""))
        ]
        for name, workflow in loaded.items()
    }
    assert {name: found for name, found in commands.items() if found} == {
        "test": [".ci/run"],
        "nightly": ["pytest -m nightly"],
    }
