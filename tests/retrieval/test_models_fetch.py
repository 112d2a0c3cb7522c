"""Fetching models: only on request, only the files needed, and resumed after an interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_models
from tests.support.hub import COMMIT, Hub

pytestmark = pytest.mark.heavy

# What huggingface_hub writes at once.
PIECE = 10 << 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.bert_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture
def hub(model: Path) -> Iterator[Hub]:
    """A hub with one encoder, whose weights are also there in other formats."""
    with Hub() as running:
        other = {"pytorch_model.bin": b"old" * 1000, "onnx/model.onnx": b"other" * 1000, "a.png": b"picture"}
        running.add("tiny/encoder", model, **other)
        yield running


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """Return the machine's environment with this hub and an empty cache."""
    own = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    return {**os.environ, **own, "PYTHONPATH": str(Path(__file__).parents[2])}


def winnow(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def listed(environment: dict[str, str], name: str) -> dict[str, Any]:
    """Return the entry of `models list` for a model that is set as the encoder."""
    words = ("models", "list", "--json")
    done = winnow({**environment, "WINNOW_ENCODER__MODEL": name}, *words)
    return next(one for one in json.loads(done.stdout) if one["name"] == name)


def test_a_fetched_model_is_listed_and_encodes(hub: Hub, environment: dict[str, str], model: Path) -> None:
    """A fetch downloads only the files winnow uses; the id names the commit, and the model loads offline."""
    before = listed(environment, "tiny/encoder")
    assert before["here"] is False
    assert "winnow models fetch tiny/encoder" in before["place"]
    assert hub.asked == []
    done = winnow(environment, "models", "fetch", "tiny/encoder", "--json")
    fetched = json.loads(done.stdout)
    assert [one["name"] for one in fetched] == ["tiny/encoder"]
    assert sorted(path.name for path in Path(fetched[0]["folder"]).rglob("*") if path.is_file()) == sorted(
        path.name for path in model.rglob("*") if path.is_file()
    )
    after = listed(environment, "tiny/encoder")
    assert (after["here"], after["bytes"]) == (True, fetched[0]["bytes"])
    doctor = winnow({**environment, "WINNOW_ENCODER__MODEL": "tiny/encoder", "HF_HUB_OFFLINE": "1"}, "doctor")
    assert f"tiny/encoder@{COMMIT}" in "".join(doctor.stdout.split())
    pinned = listed(environment, f"tiny/encoder@{COMMIT}")
    assert pinned["here"] is True


def test_an_interrupted_fetch_is_completed_by_the_next(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-C ends a fetch at once; complete files stay, and a partial model counts as missing."""
    hub.repositories["tiny/encoder"]["large.bin"] = large = os.urandom(2 * PIECE)
    hub.stalls["large.bin"] = PIECE + PIECE // 2
    words = [sys.executable, "-m", "winnow", "models", "fetch", "tiny/encoder"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size >= PIECE for path in (tmp_path / "hf").rglob("*.incomplete")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in said
    partly = listed(environment, "tiny/encoder")
    assert partly["here"] is False
    assert "the rest" in partly["place"]

    hub.stalls.clear()
    assert winnow(environment, "models", "fetch", "tiny/encoder").returncode == 0
    assert len(hub.fetched("large.bin")) == 2
    assert len(hub.fetched("model.safetensors")) == 1
    assert next((tmp_path / "hf").rglob(f"{COMMIT}/large.bin")).read_bytes() == large
    assert listed(environment, "tiny/encoder")["here"] is True


def test_a_broken_connection_is_taken_up_where_it_broke(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    """A fetch survives a broken connection and requests only the missing bytes."""
    hub.repositories["tiny/encoder"]["large.bin"] = large = os.urandom(2 * PIECE)
    hub.breaks["large.bin"] = PIECE + PIECE // 2
    assert winnow(environment, "models", "fetch", "tiny/encoder").returncode == 0
    first, second = hub.fetched("large.bin")
    assert first is None
    assert second is not None
    assert int(second.removeprefix("bytes=").removesuffix("-")) >= PIECE
    assert next((tmp_path / "hf").rglob(f"{COMMIT}/large.bin")).read_bytes() == large


def test_nothing_is_fetched_unasked(hub: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    """A missing model is never fetched unasked: the error names the command."""
    (tmp_path / "a.md").write_text("# A\n\nA sentence about reranking.\n")
    chosen = {**environment, "WINNOW_ENCODER__MODEL": "tiny/encoder"}
    for words in (
        ["ingest", str(tmp_path / "a.md")],
        ["rerank", "What?", str(tmp_path / "a.md")],
        ["doctor"],
    ):
        done = winnow(chosen, *words, "--data-dir", str(tmp_path / "d"))
        assert done.returncode != 0
        assert "winnow models fetch tiny/encoder" in " ".join((done.stdout + done.stderr).split())
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody/nothing", "has no model"),
        ("shy/model", "gated"),
        ("not a name!", "neither a folder nor a hub id"),
    ],
)
def test_what_cannot_be_fetched_says_why(hub: Hub, environment: dict[str, str], name: str, said: str) -> None:
    """A missing, gated or misspelt model gives an error with a way out."""
    hub.gated.add("shy/model")
    done = winnow(environment, "models", "fetch", name)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_profile_that_has_everything_fetches_nothing(hub: Hub, environment: dict[str, str]) -> None:
    """`--profile` fetches only missing models, and an unknown profile lists those that exist."""
    done = winnow(environment, "models", "fetch", "--profile", "local")
    assert (done.returncode, hub.asked) == (0, [])
    assert "Nothing to fetch" in done.stderr
    wrong = winnow(environment, "models", "fetch", "--profile", "locale")
    assert wrong.returncode == 2
    assert "multilingual" in wrong.stderr
