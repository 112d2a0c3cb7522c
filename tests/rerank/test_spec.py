"""The spec grammar: parsing, printing, positions of errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.spec import PRESETS, Spec, Stage
from storage.errors import SpecError

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,10}", fullmatch=True).filter(lambda name: name not in PRESETS)
keys = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
values = (
    st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.integers(-(10**12), 10**12)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
stages = st.builds(
    lambda name, options: Stage(name, tuple(options.items())),
    names,
    st.dictionaries(keys, values, max_size=4),
)


@given(st.lists(st.tuples(stages, st.integers(0, 3)), min_size=1, max_size=4))
def test_every_spec_reads_back_as_it_was_printed(parts: list[tuple[Stage, int]]) -> None:
    """A printed spec parses back to itself, whatever the option values hold."""
    keeps = sorted((keep for _, keep in parts), reverse=True)
    spec = Spec(tuple(Stage(s.name, s.options, k or None) for (s, _), k in zip(parts, keeps, strict=True)))
    assert Spec.parse(str(spec)) == spec


def test_a_full_spec_is_understood() -> None:
    """Options, quoted values, numbers and `:k` arrive with their types; spaces do not matter."""
    text = ' cross-encoder : 20 , listwise( window = 20, ratio=0.5, deep=true, model="qwen3:8b") : 5 '
    spec = Spec.parse(text)
    assert spec.stages == (
        Stage("cross-encoder", (), 20),
        Stage("listwise", (("window", 20), ("ratio", 0.5), ("deep", True), ("model", "qwen3:8b")), 5),
    )
    assert str(spec) == 'cross-encoder:20,listwise(window=20,ratio=0.5,deep=true,model="qwen3:8b"):5'


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_stand_for_chains_that_fit_any_top_k(preset: str) -> None:
    """A preset never fixes how many the last stage keeps."""
    assert Spec.parse(preset, top_k=3).stages[-1].keep is None


def test_the_second_stage_of_a_strategy_has_its_own_name() -> None:
    """Ranks of two stages of one strategy are kept apart."""
    assert Spec.parse("listwise:20,none,listwise").names == ("listwise", "none", "listwise#2")


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "name of a strategy"),
        ("listwise:", 9, "how many"),
        ("listwise:0", 9, "at least 1"),
        ("listwise:x", 9, "how many"),
        ("listwise,", 9, "name of a strategy"),
        ("listwise(window)", 15, "expected '='"),
        ("listwise(window=20,window=3)", 19, "given twice"),
        ("listwise(model=qwen3:8b)", 20, "expected ',' or ')'"),
        ('listwise(model="qwen)', 15, "does not end"),
        ("listwise(window=1e999)", 16, "too large"),
        ("listwise:20,none:30", 17, "leave only 20"),
        ("listwise 5", 9, "expected ',', ':' or the end"),
        ("listwise:5,local", 11, "must be the whole spec"),
    ],
)
def test_an_error_points_at_the_character(text: str, at: int, says: str) -> None:
    """The caret is below the character at which parsing stopped."""
    with pytest.raises(SpecError) as error:
        Spec.parse(text)
    complaint, shown, caret = str(error.value).split("\n")
    assert says in complaint
    assert shown == f"  {text}"
    assert caret.index("^") - 2 == at


def test_full_width_punctuation_is_named() -> None:
    """A Chinese input method's colon is named; the caret counts wide characters twice."""
    with pytest.raises(SpecError, match="full-width") as error:
        Spec.parse("listwise：5")
    assert error.value.way_out == "Type ':'."
    with pytest.raises(SpecError) as wide:
        Spec.parse('listwise(model="重排")x')
    assert str(wide.value).split("\n")[2].index("^") == 2 + len('listwise(model="") ') + 2 * 2 - 1


def test_a_last_keep_that_contradicts_top_k_rerank_is_an_error() -> None:
    """`:5` together with top_k_rerank=3 is an error; neither wins silently."""
    with pytest.raises(SpecError, match="top_k_rerank is 3") as error:
        Spec.parse("cross-encoder:20,listwise:5", top_k=3)
    assert str(error.value).split("\n")[2].index("^") == 2 + len("cross-encoder:20,listwise:")
    assert Spec.parse("cross-encoder:20,listwise:5", top_k=5).stages[-1].keep == 5
