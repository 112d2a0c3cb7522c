"""`winnow ingest URL`: a page becomes a document that says where it came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.shell import as_json, run
from tests.support.site import Page, local_site

pytestmark = pytest.mark.heavy


def test_a_site_is_ingested_found_read_again_without_it_and_deleted(tmp_path: Path) -> None:
    """Pages and files in one run; what could not be had is in the report, now and with --last."""
    data, note = ("--data-dir", tmp_path / "data"), tmp_path / "note.md"
    note.write_text("# Note\n\nThe valve closes at 90 degrees.", encoding="utf-8")
    page = Page(b"<title>Pump</title><p>The torque of the pump is 25 Nm.", headers={"ETag": '"1"'})
    with local_site({"/pump": page}) as site:
        wanted = f"{site.url}/pump"
        refused = run("ingest", wanted, *data)
        assert refused.exit_code != 0
        assert "--private" in refused.output
        assert site.asked == []

        report = as_json("ingest", wanted, f"{site.url}/none", note, "--private", *data)
        assert report["totals"]["ingested"] == 2
        bad = [one for one in report["documents"] if one["status"] == "refused"]
        assert [one["path"] for one in bad] == [f"{site.url}/none"]
        assert "404" in bad[0]["reason"]
        assert as_json("ingest", "--last", *data)["documents"][-1] == bad[0]
        assert as_json("ingest", wanted, "--private", *data)["totals"]["unchanged"] == 1

    found = as_json("search", "torque of the pump", "--where", f'url = "{wanted}"', *data)
    assert "25 Nm" in found["candidates"][0]["text"]
    assert as_json("ingest", "--reindex", *data)["totals"]["refused"] == 0
    copies = list((tmp_path / "data/uploads").rglob("*.html"))
    assert len(copies) == 1
    assert as_json("documents", "delete", copies[0], *data) == {"deleted": str(copies[0])}
    assert not copies[0].exists()


def test_a_page_that_is_gone_leaves_with_prune(tmp_path: Path) -> None:
    """Also where it is the only address; without --prune its document stays, and others of its site do."""
    data = ("--private", "--data-dir", tmp_path / "data")
    pages = {f"/{name}": Page(f"<p>The {name} turns clockwise.".encode()) for name in ("pump", "valve")}
    with local_site(pages) as site:
        as_json("ingest", f"{site.url}/pump", f"{site.url}/valve", *data)
        del site.pages["/pump"]
        assert run("ingest", f"{site.url}/pump", *data).exit_code != 0
        totals = as_json("ingest", f"{site.url}/pump", "--prune", *data)["totals"]
        assert (totals["removed"], totals["refused"]) == (1, 1)
    listed = as_json("documents", "list", *data[1:])
    assert [Path(one["source"]).name for one in listed] == ["valve.html"]
