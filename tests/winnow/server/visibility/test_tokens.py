"""The rights that a token file gives, and what cannot be read there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from storage.errors import BadInputError, SettingsError
from tests.support.holders import Holder
from tests.support.serving import Server
from winnow.server.tokens import TokenBook

pytestmark = pytest.mark.heavy


def test_a_token_of_an_earlier_version_sees_what_it_saw(server: Server, admins_ids: list[str]) -> None:
    """A token without these keys has the rights that it had."""
    book = TokenBook(server.pipeline.settings.tokens_file)
    token, text = book.create("old", "read")
    file = server.pipeline.settings.tokens_file
    kept = json.loads(file.read_text("utf-8"))
    for one in kept:
        if one["id"] == token.id:
            for key in ("collections", "where", "log"):
                del one[key]
    file.write_text(json.dumps(kept), "utf-8")
    old = Holder(server, text)
    assert {one["name"] for one in old.get("/v1/collections").json()["collections"]} >= {"closed", "shared"}
    assert old.get(f"/v1/answers/{admins_ids[0]}").status_code == 200


@pytest.mark.parametrize(
    "broken",
    [{"where": "team ="}, {"collections": "closed"}, {"collections": [1]}, {"log": "everything"}],
)
def test_rights_that_cannot_be_read_let_nobody_in(tmp_path: Path, broken: dict[str, Any]) -> None:
    """A token file with rights that mean nothing is no token file: nobody gets more than was meant."""
    book = TokenBook(tmp_path / "tokens.json")
    book.create("one", "read")
    [token] = json.loads((tmp_path / "tokens.json").read_text("utf-8"))
    (tmp_path / "tokens.json").write_text(json.dumps([{**token, **broken}]), "utf-8")
    with pytest.raises(SettingsError, match="cannot be used"):
        TokenBook(tmp_path / "tokens.json").tokens()


def test_a_filter_that_cannot_be_read_makes_no_token(tmp_path: Path) -> None:
    """The mistake is told when the token is made, and nothing is kept."""
    book = TokenBook(tmp_path / "tokens.json")
    with pytest.raises(BadInputError, match="the filter cannot be read"):
        book.create("one", "read", where="team = open")
    assert book.tokens() == ()
