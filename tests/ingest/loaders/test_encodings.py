"""Bytes of many programs: the right encoding is found, and a weak guess is said to be one."""

from __future__ import annotations

import pytest

from ingest.loaders import Loaded, Source, load

CHINESE = "第三章 检修\n更换密封圈之前，应当关闭阀门并泄压。\n"
TRADITIONAL = "第三章 檢修\n更換密封圈之前，應當關閉閥門並洩壓。\n"
JAPANESE = "ポンプを止めてから、バルブを閉めてください。\n"
CZECH = "Před výměnou těsnění zavřete ventil; tlak musí být nulový. Škoda, žádný díl není.\n"


def read(data: bytes, name: str = "a.txt") -> Loaded:
    return load(Source(f"/docs/{name}", data))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((CHINESE, name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "gbk", "gb18030")),
        *((TRADITIONAL, name) for name in ("utf-16-le", "big5")),
        *((JAPANESE, name) for name in ("utf-16-be", "cp932", "iso2022_jp")),
        (JAPANESE, "euc_jp"),
        *((text, "euc_kr") for text in ("품명,수량\n밸브,3\n펌프,5\n", "컴퓨터 오류 코드", "서울")),
        *((text, "gbk") for text in ("阀门,垫片\n密封圈,螺母\n", "年龄", "齿轮 皮带 弹簧")),
        *((CZECH, name) for name in ("cp1250", "iso8859_2")),
        ("Größe der Tür prüfen, Öl wechseln, süß.\n", "mac_roman"),
        ("Größe der Tür prüfen, Öl wechseln, süß.\n", "cp850"),
        ("Проверьте клапан и закройте насос в цехе.\n", "cp866"),
        ("Zażółć gęślą jaźń; wymień uszczelkę i zamknij zawór, proszę.\n", "cp1250"),
    ],
)
def test_an_encoding_without_a_mark_is_found(text: str, encoding: str) -> None:
    """UTF-16 and UTF-32 of any script, Chinese, Japanese, and Europe's before Unicode."""
    assert read(text.encode(encoding)).text == text.strip("\n")


def test_a_chinese_file_that_was_cut_off_is_read() -> None:
    """Half a character at the end costs that character, with a warning, and not the file."""
    loaded = read((CHINESE * 4).encode("gbk")[:-2])
    assert loaded.text.startswith("第三章 检修")
    assert any("replaced" in str(one) for one in loaded.warnings)


def test_letters_far_down_in_a_file_decide_on_its_encoding() -> None:
    """What begins with a megabyte of ASCII is not taken for something else."""
    data = b"plain line\n" * 30_000 + "关闭阀门并更换密封圈，检查水泵。".encode("gbk")
    assert read(data).text.endswith("检查水泵。")


def test_a_nul_in_a_text_makes_it_no_utf_16() -> None:
    """One stray NUL goes, and every letter stays."""
    assert read(b"valve\x00s are closed before the pump is opened\n").text.startswith("valves are closed")


@pytest.mark.parametrize("code", [0x1D173, 0xFE0F, 0x2060, 0xE0041])
def test_what_nobody_sees_parts_no_word(code: int) -> None:
    """Characters without a width are dropped within words; emoji keep theirs."""
    assert read(f"ther{chr(code)}mostat 👩‍🔧 ❤️".encode()).text == "thermostat 👩‍🔧 ❤️"


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (b"<!-- saved -->\n<html><body><p>Hot <b>pump</b></p></body></html>", "text/html"),
        (
            b"Received: by x\nFrom: a@example.org\nSubject: Pump\nContent-Transfer-Encoding: base64\n"
            b"Content-Type: text/plain\n\nSG90IHB1bXA=\n",
            "message/rfc822",
        ),
    ],
)
def test_a_file_without_a_suffix_is_looked_into(data: bytes, mime: str) -> None:
    """A page after a comment and a mail are read as what they are."""
    loaded = read(data, "saved")
    assert loaded.mime == mime
    assert "Hot pump" in loaded.text


def test_a_guess_that_reads_otherwise_too_is_said_to_be_weak() -> None:
    """`Señor` could be Polish, and a person should look; what all encodings read alike needs no warning."""
    assert any("guess" in str(one) for one in read("Señor López\n".encode("cp1252")).warnings)
    assert not read("Größe: 5 mm, süß\n".encode("cp1252")).warnings


def test_a_guess_from_a_few_letters_of_any_script_is_said_to_be_weak() -> None:
    """A few Russian words may be read as Japanese: whoever reads the report can see it."""
    assert any("guess" in str(one) for one in read("Насос: стоп.".encode("koi8_r")).warnings)


def test_one_line_of_another_program_makes_a_short_text_no_chinese() -> None:
    """Most letters are right in UTF-8: the one that is not is replaced, with a warning."""
    loaded = read("Größe\nMaß\n".encode() + "Köln".encode("cp1252"))
    assert loaded.text == "Größe\nMaß\nK\ufffdln"
    assert any("replaced" in str(one) for one in loaded.warnings)


def test_rare_chinese_characters_are_no_words_of_europe() -> None:
    """Traditional characters in GBK, which no frequent character gives away."""
    assert (
        read("id,text\n1,軸承型號\n2,密封圈\n".encode("gbk"), "a.csv").text
        == "id: 1; text: 軸承型號\nid: 2; text: 密封圈"
    )
