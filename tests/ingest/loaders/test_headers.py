"""Headers and forms: names stand above their values, labels beside them; neither is taken for the other."""

from __future__ import annotations

import pytest

from ingest.loaders import Source, load
from ingest.loaders.tables import rows_of, table_lines


def lines(*rows: str, forms: bool = True) -> list[str]:
    """The lines of a table whose cells are parted by bars."""
    return [line for _, line in table_lines(rows_of([row.split("|") for row in rows]), forms=forms)]


def text_of(name: str, data: str) -> list[str]:
    return load(Source(f"/docs/{name}", data.encode())).text.split("\n")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("Name|Grace Hopper", "Born|1906", "City|New York"), "Name: Grace Hopper"),
        (("姓名|李四", "部门|生产部", "职务|班长"), "部门: 生产部"),
        (("姓名|李四|性别|女", "部门|生产部|电话|13700137000"), "部门: 生产部; 电话: 13700137000"),
        (("Pressure|12 bar", "Weight|80 kg", "Maker|Nordpump"), "Weight: 80 kg"),
        (("Customer:|Ada", "Order no:|A-77", "Town:|Bath"), "Order no: A-77"),
        (("产品名称|软管", "产品型号|H-7", "生产日期|2025-03-01"), "产品型号: H-7"),
        (("甲方|无锡软管厂", "乙方|苏州卡箍厂", "签订日期|2025-03-01"), "乙方: 苏州卡箍厂"),
        (("Delivery date|3 May", "Delivery address|Bath", "Seen by|Eve"), "Seen by: Eve"),
    ],
)
def test_labels_beside_values_are_a_form(rows: tuple[str, ...], expected: str) -> None:
    """Usual labels below each other name what stands beside them, in English and Chinese."""
    assert expected in lines(*rows)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("Field|Meaning", "name|who it is", "date|when it was"), "Field: date; Meaning: when it was"),
        (("字段|说明", "姓名|员工的名字", "日期|入职的日子"), "字段: 日期; 说明: 入职的日子"),
        (("姓名|性别|部门", "李四|女|生产部", "王五|男|质检部"), "姓名: 王五; 性别: 男; 部门: 质检部"),
        (
            ("Model|X1|X2|X3", "Weight|3 kg|4 kg|5 kg", "Price|7|8|9", "Colour|red|red|blue"),
            "Model: Price; X1: 7; X2: 8; X3: 9",
        ),
        (("Role|Responsibility", "Owner|decides", "Tester|tries it"), "Role: Owner; Responsibility: decides"),
        (("Part|Supplier", "hose|Nord", "clamp|Süd"), "Part: clamp; Supplier: Süd"),
        (("Name:|Age:|Town:", "Ada|36|Bath", "Bob|41|Ely"), "Name: Bob; Age: 41; Town: Ely"),
        (
            ("User|Mail|Role", "ada|ada@example.org|admin", "bob|bob@example.org|user"),
            "User: bob; Mail: bob@example.org; Role: user",
        ),
        (("Land|2021|2022", "North|2008|2011", "South|1999|2004"), "Land: South; 2021: 1999; 2022: 2004"),
    ],
)
def test_names_above_values_are_a_header(rows: tuple[str, ...], expected: str) -> None:
    """A list of fields with a usual name over its second column, names with colons, years that follow."""
    assert expected in lines(*rows)


@pytest.mark.parametrize(
    "rows",
    [
        ("ada@example.org|Ada|admin", "bob@example.org|Bob|user"),
        ("10.0.0.7|router|up", "10.0.0.8|printer|down"),
        ("Ada|true|false", "Bob|false|false"),
        ("https://example.org/a|first|en", "https://example.org/b|second|de"),
    ],
)
def test_data_is_never_a_header(rows: tuple[str, ...]) -> None:
    """Addresses and truth values name nothing: the first row is kept as one."""
    assert lines(*rows, forms=False) == [row.replace("|", "; ") for row in rows]


def test_a_header_below_notes_is_found() -> None:
    """Lines of fields above a wider header stay apart, and do not become a part of its names."""
    assert lines("Stock of May", "Prepared by|Eve", "Part|Qty|Price", "hose|3|1.5", "clamp|5|2.5") == [
        "Stock of May",
        "Prepared by: Eve",
        "Part: hose; Qty: 3; Price: 1.5",
        "Part: clamp; Qty: 5; Price: 2.5",
    ]
    assert lines("制表人|李四|日期|2025-05-01", "品名|数量|单价", "软管|3|1.5", "卡箍|5|2.5")[1:] == [
        "品名: 软管; 数量: 3; 单价: 1.5",
        "品名: 卡箍; 数量: 5; 单价: 2.5",
    ]


def test_a_note_below_a_table_has_no_name() -> None:
    """A single cell after a blank row is a sentence of its own; rows after a gap keep their names."""
    assert lines("Part|Qty", "hose|3", "", "clamp|5", "", "Counted by hand.") == [
        "Part: hose; Qty: 3",
        "Part: clamp; Qty: 5",
        "Counted by hand.",
    ]


def test_a_header_of_two_rows_over_words_is_one() -> None:
    """Different names under a span are names, though only words stand below them."""
    assert lines(
        "|Size|Size|Paint|Paint", "Item|min|max|inner|outer", "A|S|XL|red|blue", "B|M|L|grey|white"
    ) == [
        "Item: A; Size min: S; Size max: XL; Paint inner: red; Paint outer: blue",
        "Item: B; Size min: M; Size max: L; Paint inner: grey; Paint outer: white",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("part,qty\r\r\nhose,3\r\r\nclamp,5\r\r\n", ["part: hose; qty: 3", "part: clamp; qty: 5"]),
        (
            'part, note, qty\nhose, "long, red", 3\nclamp, "blue", 5\n',
            ["part: hose; note: long, red; qty: 3"],
        ),
        ("品名，数量，城市\n软管，3，苏州\n卡箍，5，无锡\n", ["品名: 卡箍; 数量: 5; 城市: 无锡"]),
        (
            ",2023,,2024,\nSite,Q1,Q2,Q1,Q2\nOslo,1,2,3,4\n",
            ["Site: Oslo; 2023 Q1: 1; 2023 Q2: 2; 2024 Q1: 3; 2024 Q2: 4"],
        ),
        (
            "code,is\nE1,leak\nE2,rust,see below\nE3,noise\n",
            ["code: E1; is: leak", "code: E2; is: rust; see below"],
        ),
        ("Name:,Ada\nCity:,London\n", ["Name: Ada", "City: London"]),
        ('part,note\n1,"2 inch\n2,3 inch\n3,4 inch\n', ['part: 1; note: "2 inch', "part: 3; note: 4 inch"]),
    ],
)
def test_csv_of_every_program_is_read(data: str, expected: list[str]) -> None:
    """Doubled line ends, blanks after commas, the comma of Chinese, names above names, a row too long,
    labels with colons, a quote that is never closed."""
    assert set(expected) <= {line for line in text_of("a.csv", data) if line}
