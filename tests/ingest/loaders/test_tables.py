"""Tables: every cell reaches the name of its own column, whatever stands around them."""

from __future__ import annotations

import io
from pathlib import Path

import docx
import pptx
import pytest
import xlsxwriter
from docx.oxml import OxmlElement

from ingest.loaders import Source, load
from ingest.loaders.office.number_formats import elapsed, formatted, is_date
from ingest.loaders.tables import Grid, rows_of, table_lines
from tests.support.loading import read


def lines(*rows: str) -> list[str]:
    """The lines of a table whose cells are parted by bars."""
    return [line for _, line in table_lines(rows_of([row.split("|") for row in rows]))]


def test_a_header_is_found_by_the_kinds_of_cells_and_not_by_fullness() -> None:
    """Names over numbers are a header, though an index column has none and a title stands above."""
    assert lines("Stock of May", "", "|Part|Price", "0|hose|3.50", "1|clamp|0.80") == [
        "Stock of May",
        "0; Part: hose; Price: 3.50",
        "1; Part: clamp; Price: 0.80",
    ]
    assert lines("Region|2019|2020", "North|5|7", "South|6|8") == [
        "Region: North; 2019: 5; 2020: 7",
        "Region: South; 2019: 6; 2020: 8",
    ]


def test_a_table_without_a_header_keeps_its_first_row() -> None:
    """Rows of the same kinds from the first on have no names; pairs and labels stay what they are."""
    assert lines("2025-03-01|open|4", "2025-03-02|shut|9") == ["2025-03-01; open; 4", "2025-03-02; shut; 9"]
    assert lines("Model|X200", "Colour|red", "Weight|light") == [
        "Model: X200",
        "Colour: red",
        "Weight: light",
    ]
    assert lines("Name:|Ada|Born:|1815", "City:|London|Died:|1852") == [
        "Name: Ada; Born: 1815",
        "City: London; Died: 1852",
    ]


def test_several_tables_of_a_sheet_have_names_of_their_own() -> None:
    """One below the other and side by side; rows after a mere gap keep the names above it."""
    assert lines("Pump|Bar", "A|4", "", "B|6", "", "Valve|Inch|Litres", "C|2|30") == [
        "Pump: A; Bar: 4",
        "Pump: B; Bar: 6",
        "Valve: C; Inch: 2; Litres: 30",
    ]
    assert lines("Pump|Bar||Hose|Metre", "A|4||H1|25", "B|6||H2|50", "|||H3|75") == [
        "Pump: A; Bar: 4",
        "Pump: B; Bar: 6",
        "Hose: H1; Metre: 25",
        "Hose: H2; Metre: 50",
        "Hose: H3; Metre: 75",
    ]


def test_a_second_header_begins_a_table_where_no_blank_row_does() -> None:
    """Names between numbers in two columns, or in one under a title; a missing value is no name."""
    assert lines("Pump|Bar", "A|4", "B|6", "Valve|Inch|Litres", "C|2|30", "D|3|40") == [
        "Pump: A; Bar: 4",
        "Pump: B; Bar: 6",
        "Valve: C; Inch: 2; Litres: 30",
        "Valve: D; Inch: 3; Litres: 40",
    ]
    assert lines("Pumps", "Pump|Bar", "A|4", "B|6", "Valves", "Valve|Inch", "C|2", "D|3") == [
        "Pumps",
        "Pump: A; Bar: 4",
        "Pump: B; Bar: 6",
        "Valves",
        "Valve: C; Inch: 2",
        "Valve: D; Inch: 3",
    ]
    assert lines("Pump|Bar|Litres", "A|4|9", "B|n/a|unknown", "C|open|open", "D|6|7")[1:3] == [
        "Pump: B; Bar: n/a; Litres: unknown",
        "Pump: C; Bar: open; Litres: open",
    ]
    assert lines("Pump|Bar", "A|4", "B|open", "C|6")[1] == "Pump: B; Bar: open"


def test_a_header_in_bold_begins_a_table_of_words(tmp_path: Path) -> None:
    """In a spreadsheet nothing else tells a second header from a row; a bold sum is none."""
    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet, bold = book.add_worksheet("S"), book.add_format({"bold": True})
    rows = [("Pump", "Maker"), ("A", "Li"), ("Sum", 1), ("Valve", "Site"), ("C", "Bergen")]
    for number, row in enumerate(rows):
        sheet.write_row(number, 0, row, bold if number in (0, 2, 3) else None)
    book.close()
    loaded = read("a.xlsx", (tmp_path / "a.xlsx").read_bytes())
    assert loaded.text.split("\n")[2:] == [
        "Pump: A; Maker: Li",
        "Pump: Sum; Maker: 1",
        "",
        "Valve: C; Site: Bergen",
    ]


def test_spans_are_filled_and_a_header_of_two_rows_is_one() -> None:
    """A name over two columns goes before theirs; a tall cell stands in every row that it covers."""
    grid = Grid()
    for row, column, text, high, wide in (
        (0, 0, "Town", 1, 1),
        (0, 1, "Guests", 1, 2),
        (1, 1, "May", 1, 1),
        (1, 2, "June", 1, 1),
        (2, 0, "Bath", 2, 1),
        (2, 1, "5", 1, 1),
        (2, 2, "6", 1, 1),
        (3, 1, "7", 1, 1),
        (3, 2, "8", 1, 1),
    ):
        grid.add(row, column, text, height=high, width=wide)
    assert [line for _, line in table_lines(grid.rows())] == [
        "Town: Bath; Guests May: 5; Guests June: 6",
        "Town: Bath; Guests May: 7; Guests June: 8",
    ]


def test_html_cells_keep_their_columns_through_spans() -> None:
    """rowspan and colspan are honoured; a table of one row is layout."""
    page = (
        "<table><tr><th>Team</th><th>Day</th><th>Goals</th></tr>"
        "<tr><td rowspan=2>Reds</td><td>Mon</td><td>1</td></tr><tr><td>Tue</td><td>4</td></tr>"
        "<tr><td>Blues</td><td colspan=2>none</td></tr></table>"
        "<table><tr><td>left</td><td>right</td></tr></table>"
    )
    assert read("a.html", page).text.split("\n") == [
        "Team: Reds; Day: Mon; Goals: 1",
        "Team: Reds; Day: Tue; Goals: 4",
        "Team: Blues; Day: none; Goals: none",
        "",
        "left",
        "",
        "right",
    ]


def test_csv_has_its_separator_line_and_its_notes_above_the_header() -> None:
    """Excel's `sep=` names the delimiter; a note above the header is a line of its own; rows keep numbers."""
    assert read("a.csv", "sep=|\r\nkey|value\r\ndoor|7\r\n").text == "key: door; value: 7"
    loaded = read("b.csv", "Readings of the night,,\n\nroom,degrees,time\nhall,17,02:10\nattic,12,02:20\n")
    assert loaded.text.split("\n\n") == [
        "Readings of the night",
        "room: hall; degrees: 17; time: 02:10\nroom: attic; degrees: 12; time: 02:20",
    ]
    assert [row.page for row in loaded.rows] == [1, 4]


def test_a_cell_of_any_length_is_read() -> None:
    """A cell beyond csv's own limit of 131,072 characters is kept."""
    assert "x" * 200_000 in read("a.csv", f"id,note\n7,{'x' * 200_000}\n").text


def test_a_sheet_says_what_the_spreadsheet_shows(tmp_path: Path) -> None:
    """Percent, zeros in front, dates, merged cells in every row, comments; a far cell costs nothing."""
    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet = book.add_worksheet("Rates")
    form = {
        code: book.add_format({"num_format": code})
        for code in ("0.0%", "0000", "yyyy-mm-dd", '#,##0.00 "kr"')
    }
    sheet.write_row(0, 0, ["Area", "Code", "Share", "From", "Fee"])
    sheet.merge_range(1, 0, 2, 0, "West")
    for row, (code, share, day, fee) in enumerate([(42, 0.125, 45292, 1234.5), (7, 0.5, 45293, 8)], 1):
        sheet.write_number(row, 1, code, form["0000"])
        sheet.write_number(row, 2, share, form["0.0%"])
        sheet.write_number(row, 3, day, form["yyyy-mm-dd"])
        sheet.write_number(row, 4, fee, form['#,##0.00 "kr"'])
    sheet.write_comment(1, 4, "Since the reform")
    sheet.write(1_048_575, 16_383, "far away")
    book.close()
    text = read("a.xlsx", (tmp_path / "a.xlsx").read_bytes()).text
    assert text.split("\n")[2:4] == [
        "Area: West; Code: 0042; Share: 12.5%; From: 2024-01-01; Fee: 1,234.50 kr",
        "Area: West; Code: 0007; Share: 50.0%; From: 2024-01-02; Fee: 8.00 kr",
    ]
    assert "far away" in text
    assert "Since the reform" in text


def test_a_formula_without_a_stored_value_is_warned_about(tmp_path: Path) -> None:
    """What was never calculated is not zero: the document has a warning."""
    book = xlsxwriter.Workbook(tmp_path / "a.xlsx")
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["a", "b"])
    sheet.write(1, 0, 3)
    sheet.write_formula(1, 1, "=A2*2", None, "")
    book.close()
    assert any(
        "1 formula" in warning for warning in read("a.xlsx", (tmp_path / "a.xlsx").read_bytes()).warnings
    )


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("0.0725", "0.00%", "7.25%"),
        ("7", "00000", "00007"),
        ("-1234.5", "#,##0.00", "-1,234.50"),
        ("-12", "0;(0)", "(12)"),
        ("1234567", '"€" #,##0', "€ 1,234,567"),
        ("0.1", "General", "0.1"),
        ("3", "General", "3"),
        ("2.5", "# ?/?", "2 1/2"),
        ("1E-3", "0.000", "0.001"),
        ("5", "[$¥-804]#,##0.00", "¥5.00"),
        ("54321", "0.0E+00", "5.4E+04"),
        ("54321", "##0.0E+0", "54.3E+3"),
        ("7654321", "#,##0,", "7,654"),
        ("7654321", '0.00,,"M"', "7.65M"),
        ("0.75", "# ??/??", "3/4"),
        ("0.375", "# ?/8", "3/8"),
        ("0", '0.0;-0.0;"none"', "none"),
        ("0", '_(* #,##0.00_);_(* (#,##0.00);_(* "-"??_);_(@_)', "-"),
        ("2500", '[>=1000]0.0,"k";0', "2.5k"),
        ("25", '[>=1000]0.0,"k";0', "25"),
        ("5550199", "000-0000", "555-0199"),
        ("2025550199", "(000) 000-0000", "(202) 555-0199"),
        ("1", '"on";;"off"', "on"),
        ("0", '"on";;"off"', "off"),
        ("-500", "#,##0_);[Red](#,##0)", "(500)"),
        ("1E+300", "# ?/?", "1e+300"),
        ("1.5", f"0.{'0' * 40}", f"1.5{'0' * 39}"),
    ],
)
def test_numbers_are_shown_by_their_format(value: str, code: str, shown: str) -> None:
    """Digits, percent, thousands and fixed text as the format says; what is not known stays the number."""
    assert formatted(value, code) == shown


@pytest.mark.parametrize(
    ("days", "code", "shown"),
    [
        (1.75, "[h]:mm", "42:00"),
        (2.0625, "[h]:mm:ss", "49:30:00"),
        (0.0625, "[mm]:ss", "90:00"),
        (-0.5, "[h]:mm", "-12:00"),
        (1.0, "[s]", "86400"),
        (1.0, "46", "24:00:00"),
        (45292.0, "yyyy-mm-dd", None),
    ],
)
def test_durations_are_shown_by_their_format(days: float, code: str, shown: str | None) -> None:
    """More than a day is hours, and no date of the year 1900."""
    assert elapsed(days, code) == shown


@pytest.mark.parametrize(
    ("code", "date"),
    [
        ("yyyy/mm/dd", True),
        ("14", True),
        ("[h]:mm", True),
        ("0.0", False),
        ('0 "days"', False),
        ("[Red]0", False),
    ],
)
def test_formats_of_dates_are_known(code: str, date: bool) -> None:
    """Letters of dates count, those in quotes and colours do not."""
    assert is_date(code) is date


def saved(document: object) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)  # type: ignore[attr-defined]
    return buffer.getvalue()


def test_word_cells_are_read_as_word_shows_them() -> None:
    """Breaks and tabs part words; merged cells fill their place; a cell in a content control keeps it."""
    document = docx.Document()
    table = document.add_table(3, 3)
    for at, text in enumerate(["Bolt", "Grade", "Box", "", "A2", "", "M6", "A4", "9"]):
        table.cell(at // 3, at % 3).text = text
    run = table.cell(1, 0).paragraphs[0].add_run("M5")
    run.add_break()
    run.add_text("zinc")
    run.add_tab()
    run.add_text("long")
    table.cell(1, 2).merge(table.cell(2, 2))
    row = table.rows[2]._tr
    cell = row.tc_lst[1]
    control, content = OxmlElement("w:sdt"), OxmlElement("w:sdtContent")
    row.replace(cell, control)
    control.append(content)
    content.append(cell)
    assert read("a.docx", saved(document)).text.split("\n") == [
        "Bolt: M5 zinc long; Grade: A2; Box: 9",
        "Bolt: M6; Grade: A4; Box: 9",
    ]


def test_powerpoint_cells_are_read_through_spans() -> None:
    """A merged cell of a slide's table stands in every row that it covers."""
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    table = slide.shapes.add_table(3, 2, 0, 0, 900_000, 900_000).table
    for at, text in enumerate(["Shift", "Hours", "Early", "8", "", "6"]):
        table.cell(at // 2, at % 2).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    assert read("a.pptx", saved(presentation)).text.split("\n") == [
        "Shift: Early; Hours: 8",
        "Shift: Early; Hours: 6",
    ]


PASSAGE = "A long passage about pumps and what their seals are made of; it goes on for a while. "


@pytest.mark.parametrize(
    ("name", "data", "column"),
    [
        ("a.csv", f"id,text\n1,{PASSAGE}\n2,{PASSAGE}\n", "text"),
        ("a.tsv", f"id\t内容\n1\t{PASSAGE}\n2\t{PASSAGE}\n", "'内容'"),
        ("a.jsonl", f'{{"n": 1, "my body": "{PASSAGE * 4}"}}\n' * 2, "'my body'"),
        ("a.jsonl", f'{{"n": 1, "my body": "{PASSAGE}"}}\n' * 2, None),
        ("a.csv", f"id,text\n1,{PASSAGE}\n", None),
        ("a.csv", "id,text\n1,short\n2,short\n", None),
        ("a.jsonl", "[1]\n2\nnull\n{}\n{}\n", None),
    ],
)
def test_a_table_of_texts_is_told_how_to_be_read_by_line(name: str, data: str, column: str | None) -> None:
    """The column is named whose values clearly are texts, by its name or by their length."""
    warnings = [str(one) for one in load(Source(f"/x/{name}", data.encode())).warnings]
    assert [one for one in warnings if "--text-column" in one] == (
        [f"it was read as one document; --text-column {column} makes a document of each of its lines"]
        if column
        else []
    )
