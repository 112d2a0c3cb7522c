"""`winnow mcp` as an agent starts it: a process of its own, the SDK's client on its standard streams."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.support.serving import DOCUMENTS, QUESTION, ingested
from winnow import RAGPipeline, Settings

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, and the documents in it."""
    folder = tmp_path_factory.mktemp("agent 代理")
    ingested(folder)
    return folder


def talk(data: Path, *more: object, do: Callable[[Client], Awaitable[Any]]) -> Any:
    """Start the server on a data folder as agents do, and let `do` use it."""
    words = ["-m", "winnow", "mcp", "--data-dir", str(data), *map(str, more)]
    started = StdioServerParameters(
        command=sys.executable, args=words, cwd=data.parent, env={"PYTHONPATH": ":".join(sys.path)}
    )

    async def run() -> Any:
        async with Client(started) as client:
            return await do(client)

    return asyncio.run(run())


def test_every_tool_over_one_connection(folder: Path) -> None:
    """The tools find, answer, rerank and list; what was answered is in the log and can be replayed."""

    async def use(client: Client) -> dict[str, Any]:
        got = {"tools": sorted(tool.name for tool in (await client.list_tools()).tools)}

        async def call(name: str, **arguments: Any) -> Any:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        got["search"] = await call("search", question=QUESTION, top_k=2, rerank="none")
        got["ask"] = await call("ask", question=QUESTION)
        got["follow"] = await call("ask", question="And why?", follow_up=got["ask"]["id"])
        got["rerank"] = await call("rerank", question="fruit?", texts=["a stone", "an apple is a fruit"])
        got["shown"] = await call("show_answer", answer_id=got["ask"]["id"][:8])
        got["collections"] = await call("list_collections")
        got["documents"] = await call("list_documents", text="fruit")
        return got

    got = talk(folder / "data", do=use)
    assert got["tools"] == [
        "ask",
        "list_collections",
        "list_documents",
        "rerank",
        "search",
        "show_answer",
    ]
    assert [one["ranks"]["final"] for one in got["search"]["passages"]] == [1, 2]
    assert "retrieval missed" in got["ask"]["text"]
    cited = got["ask"]["citations"][0]
    quoted = Path(cited["source"]).read_text(encoding="utf-8")
    assert cited["quote"] in quoted
    assert got["rerank"]["results"][0]["index"] == 1
    assert got["shown"]["id"] == got["ask"]["id"]
    assert got["shown"]["passages"][0]["ranks"]["final"] == 1
    assert {stage["status"] for stage in got["shown"]["stages"]} == {"ok"}
    [collection] = got["collections"]["collections"]
    assert collection == {
        "name": "default",
        "default": True,
        "documents": {"ingested": len(DOCUMENTS)},
        "note": None,
    }
    [document] = got["documents"]["documents"]
    assert document["source"].endswith("fruit.txt")
    with RAGPipeline.from_settings(Settings.load(data_dir=folder / "data")) as pipeline:
        logged = pipeline.log.get(got["ask"]["id"])
        assert logged.text == got["ask"]["text"]
        assert pipeline.log.get(got["follow"]["id"]).follow_up is not None
        assert pipeline.log.replay(logged.id).overlap == 1


def test_an_agent_chooses_how_a_question_is_divided(folder: Path) -> None:
    """A question that asks two things is divided by its clauses, and `off` leaves it whole."""
    two = "Can a reranker bring back a missed passage, and which fruit is rich in potassium?"

    async def use(client: Client) -> list[list[str]]:
        async def stages(**wishes: str) -> list[str]:
            asked = (await client.call_tool("ask", {"question": two, **wishes})).structured_content
            assert asked is not None
            shown = (await client.call_tool("show_answer", {"answer_id": asked["id"]})).structured_content
            assert shown is not None
            return [stage["name"] for stage in shown["stages"]]

        return [await stages(), await stages(parts="clauses"), await stages(parts="off")]

    usual, divided, whole = talk(folder / "data", do=use)
    assert usual == divided
    assert divided[0] == "parts"
    assert "parts" not in whole


def test_documents_and_answers_are_resources(folder: Path) -> None:
    """An address from a tool's reply reads the document's text, and the whole of an answer."""

    async def use(client: Client) -> tuple[str, Any, list[str], list[str]]:
        asked = (await client.call_tool("ask", {"question": "重排序能找回漏掉的段落吗？"})).structured_content
        found = (await client.call_tool("search", {"question": "重排序", "top_k": 1})).structured_content
        assert asked is not None
        assert found is not None
        [text] = (await client.read_resource(found["passages"][0]["uri"])).contents
        [whole] = (await client.read_resource(f"winnow://answers/{asked['id']}")).contents
        offered = [str(one.uri) for one in (await client.list_resources()).resources]
        templates = [one.uri_template for one in (await client.list_resource_templates()).resource_templates]
        return text.text, json.loads(whole.text), offered, templates  # type: ignore[union-attr]

    text, whole, offered, templates = talk(folder / "data", do=use)
    assert "召回阶段漏掉的段落，重排序无法找回。" in text
    assert len(whole["candidates"]) == len(DOCUMENTS)
    assert whole["candidates"][0]["ranks"]["final"] == 1
    assert f"winnow://answers/{whole['id']}" in offered
    assert sum(one.startswith("winnow://documents/default/") for one in offered) == len(DOCUMENTS)
    assert templates == ["winnow://documents/{collection}/{document_id}", "winnow://answers/{answer_id}"]


def test_prompts_name_the_tools(folder: Path) -> None:
    """A prompt carries its argument, and tells the agent which tools to call."""

    async def use(client: Client) -> str:
        assert {one.name for one in (await client.list_prompts()).prompts} == {
            "answer_with_citations",
            "explain_ranking",
        }
        given = await client.get_prompt("answer_with_citations", {"question": "Why rerank?"})
        return given.messages[0].content.text  # type: ignore[union-attr]

    text = talk(folder / "data", do=use)
    assert "Why rerank?" in text
    assert "`search`" in text


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ask", {"question": QUESTION, "collection": "papers"}, "papers"),
    ("ask", {"question": QUESTION, "rerank": "listwize:5"}, "listwise"),
    ("ask", {"question": QUESTION, "rerank": 'api(url="http://127.0.0.1:9")'}, "may not choose"),
    ("ask", {"question": QUESTION, "answerer": "openai"}, "calls no chat model"),
    ("ask", {"question": QUESTION, "parts": "decompose"}, "calls no chat model"),
    ("search", {"question": QUESTION, "parts": "hyde"}, "calls no chat model"),
    ("search", {"question": QUESTION, "where": "lang ="}, "lang"),
    ("search", {"question": ""}, "at least 1 character"),
    ("show_answer", {"answer_id": "ffff"}, "ffff"),
    ("list_documents", {"collection": "papers"}, "There are: default"),
    ("ingest", {"paths": ["."]}, "ingest"),
]


def test_what_cannot_be_done_says_why(folder: Path) -> None:
    """A wrong wish is an error of the tool, which an agent can read, and names the way out."""

    async def use(client: Client) -> list[str]:
        results = [await client.call_tool(tool, arguments) for tool, arguments, _ in WRONG]
        assert all(result.is_error for result in results)
        with pytest.raises(MCPError, match="ffff"):
            await client.read_resource("winnow://answers/ffff")
        return [result.content[0].text for result in results]  # type: ignore[union-attr]

    for (tool, arguments, said), told in zip(WRONG, talk(folder / "data", do=use), strict=True):
        assert said in told, (tool, arguments)


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """Where the SDK is missing, the error is the command that installs it."""
    code = "import sys; sys.modules['mcp'] = None; from winnow.__main__ import main; main()"
    words = [sys.executable, "-c", code, "mcp", "--data-dir", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'winnow-rag[mcp]'" in done.stderr


def test_a_folder_becomes_an_agents_cited_answer_in_three_commands(tmp_path: Path) -> None:
    """Installed, a person needs `winnow ingest` and `winnow mcp`: no key, no settings, no network."""
    docs = tmp_path / "my docs"
    docs.mkdir()
    (docs / "ferry.md").write_text("# Ferry\n\nThe last ferry leaves at 22:40 from pier 3.\n", "utf-8")
    data = tmp_path / "data"
    words = [sys.executable, "-m", "winnow", "ingest", str(docs), "--data-dir", str(data)]
    subprocess.run(words, check=True, capture_output=True)

    async def use(client: Client) -> Any:
        return (
            await client.call_tool("ask", {"question": "When does the last ferry leave?"})
        ).structured_content

    answer = talk(data, do=use)
    assert "22:40" in answer["text"]
    assert answer["citations"][0]["source"] == str(docs / "ferry.md")


def test_the_shell_and_two_agents_share_a_data_folder(folder: Path) -> None:
    """A server that nobody calls lets go of its collection, so that others need not wait for its end."""
    data = folder / "data"

    async def use(client: Client) -> Any:
        assert not (await client.call_tool("search", {"question": QUESTION})).is_error
        return await asyncio.to_thread(talk, data, do=again)

    async def again(client: Client) -> Any:
        assert not (await client.call_tool("search", {"question": QUESTION})).is_error
        words = [sys.executable, "-m", "winnow", "ask", QUESTION, "--data-dir", str(data), "--json"]
        done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout)

    assert talk(data, do=use)["answered"]


def test_ingest_where_a_person_allows_it(tmp_path: Path) -> None:
    """Below an allowed folder an agent ingests, with progress; beside it, or through a link, it cannot."""
    allowed, beside = tmp_path / "allowed", tmp_path / "beside"
    for place in (allowed, beside):
        place.mkdir()
        (place / "note.md").write_text(f"# Note\n\nThe password of {place.name} is tulip.\n", "utf-8")
    (allowed / "link").symlink_to(beside)
    told: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total))

    async def use(client: Client) -> tuple[Any, list[Any], Any]:
        done = await client.call_tool("ingest", {"paths": [str(allowed)]}, progress_callback=progress)
        refused = [
            await client.call_tool("ingest", {"paths": [path]})
            for path in (str(beside), "../beside", str(allowed / "link"), "/etc/passwd")
        ]
        found = await client.call_tool("search", {"question": "What is the password?"})
        return done.structured_content, refused, found.structured_content

    done, refused, found = talk(tmp_path / "data", "--allow-ingest", allowed, do=use)
    assert done["totals"]["ingested"] == 1
    assert told
    assert [result.is_error for result in refused] == [True] * 4
    assert all(str(allowed) in result.content[0].text for result in refused)
    assert [Path(one["source"]).parent for one in found["passages"]] == [allowed]
