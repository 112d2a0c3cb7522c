"""Reasoning of chat models: no trace is an answer, a label or shown while it streams."""

from __future__ import annotations

from typing import Any

import pytest

from generation.chat.client import OpenAIChat
from storage.chat import Completion
from storage.errors import ChatError
from storage.reasoning import ReasoningFilter, has_reasoning, without_reasoning
from tests.support.chat_client import QUESTION, answered, asked, running, streamed
from tests.support.endpoint import Endpoint, Response, events, said


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("<think>Hm, [3]?</think>\n\nFour [1].", "Four [1]."),
        ("Hm, the template opened it.</think>Four.", "Four."),
        ("<think>cut off before", ""),
        ("<think>a</think>Four<think>b</think>.", "Four."),
        ("No trace, 1 < 2.", "No trace, 1 < 2."),
    ],
)
def test_reasoning_traces_are_taken_out(endpoint: Endpoint, sent: str, kept: str) -> None:
    """The reasoning of a model is not part of its reply."""
    endpoint.enqueue(said(sent, reasoning_content="also thinking"))
    assert asked(endpoint).text == kept


def test_the_first_token_of_a_trace_is_not_taken_for_the_replys(endpoint: Endpoint) -> None:
    """With a trace before the reply, no label probabilities are given."""
    endpoint.enqueue(said("<think>x</think>Yes", first_token={"<think>": 0.9}))
    assert asked(endpoint, top_logprobs=5).first_token is None


TRACES = [
    "<thinking>No. 3?</thinking>Yes",
    "<Thought>1</Thought>Yes",
    "[THINK]No[/THINK]Yes",
    "◁think▷No◁/think▷Yes",
    "<seed:think>No</seed:think>Yes",
    "<|begin_of_thought|>No<|end_of_thought|>\n<|begin_of_solution|>Yes<|end_of_solution|>",
    "<|channel|>analysis<|message|>No<|end|><|start|>assistant<|channel|>final<|message|>Yes<|return|>",
    "<reasoning>cites [3]</reasoning>\nYes",
    '<think time="3">No</think >\nYes',
    "<|thinking|>No<|/thinking|>Yes",
    "<|START_THINKING|>No<|END_THINKING|><|START_RESPONSE|>Yes<|END_RESPONSE|>",
    "<|channel>thought\nNo<channel|>Yes",
    "[REASONING]No[/REASONING]Yes",
    "<思考>否</思考>Yes",
    "<thinking>No</thinking>\n<answer>Yes</answer>",
    "<think>No</think>Yes<think>or No?</think>",
    '<details type="reasoning" done="true" duration="4">\n<summary>Thought</summary>\n> No\n</details>\nYes',
    "<details><summary>Thinking for 4 s …</summary>\nNo, </b>3\n</details>\n\nYes",
    "<details open>\n<summary>思考过程</summary>否</details>Yes",
    "<思维链>否</思维链>Yes",
    "<antThinking>No</antThinking>Yes",
    "<Thinking process>No</Thinking process>Yes",
    "<reasoning_steps>1. No</reasoning_steps>Yes",
    "[Thinking]No[/Thinking]Yes",
    "<think>No</ think>Yes",
    "No wait, says the template.\n</think>\n\nYes",
]


@pytest.mark.parametrize("size", [1, 9, 200])
@pytest.mark.parametrize(
    "sent",
    [
        "Yes. <details><summary>More</summary>See [1].</details> So [2].",
        'Yes: <details class="x">folded</details>.',
        "A </details> alone.",
        "a < b, and c > d",
    ],
)
def test_what_folds_and_is_no_trace_is_kept(sent: str, size: int) -> None:
    """Whole, and in pieces."""
    shown = ReasoningFilter()
    pieces = [shown.feed(sent[at : at + size]) for at in range(0, len(sent), size)]
    assert "".join(pieces) + shown.rest() == without_reasoning(sent) == sent
    assert not has_reasoning(sent)


def test_a_folded_trace_without_end_is_no_answer() -> None:
    """As with any other trace."""
    assert without_reasoning('<details type="reasoning">\n<summary>Thinking…</summary>\nNo, [3]') == ""


@pytest.mark.parametrize("sent", TRACES)
def test_no_trace_is_an_answer_or_a_label(endpoint: Endpoint, sent: str) -> None:
    """A trace in any usual tag is taken out, and its first token says nothing about the reply's."""
    endpoint.reply = said(sent, first_token={"No": 0.9, "Yes": 0.1})
    reply = asked(endpoint, top_logprobs=5)
    assert (reply.text, reply.first_token) == ("Yes", None)


@pytest.mark.parametrize("sent", TRACES[:-1])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_no_trace_is_shown_while_it_streams(endpoint: Endpoint, sent: str, size: int) -> None:
    """However its marks are cut into pieces."""
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    endpoint.enqueue(Response(lines=events(pieces)))
    *shown, last = streamed(endpoint)
    assert isinstance(last, Completion)
    assert "".join(str(piece) for piece in shown).strip() == last.text == "Yes"


def test_a_trace_that_a_template_opened_is_shown_once_at_most(endpoint: Endpoint) -> None:
    """Its beginning cannot be told from an answer's; from then on, streams wait for its end."""
    endpoint.reply = Response(lines=events(["No wait, ", "says it.\n</thi", "nk>\n\n", "Yes"]))

    async def action(chat: OpenAIChat) -> list[str]:
        shown = []
        for _ in range(2):
            *pieces, last = [item async for item in chat.stream(QUESTION, max_tokens=64)]
            assert last.text == "Yes"  # type: ignore[union-attr]
            shown.append("".join(map(str, pieces)))
        endpoint.reply = "No trace this time."
        return [*shown, "".join([str(one) async for one in chat.stream(QUESTION, max_tokens=64)][:-1])]

    first, second, third = running(endpoint, action)
    assert "</think>" not in first
    assert (second, third) == ("Yes", "No trace this time.")


@pytest.mark.parametrize(
    "apart",
    [
        {"reasoning_content": "No, let me see"},
        {"reasoning": "No"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "No"}]},
        {"thinking": "No"},
    ],
    ids=lambda apart: next(iter(apart)),
)
def test_reasoning_in_a_field_takes_the_first_token_with_it(
    endpoint: Endpoint, apart: dict[str, Any]
) -> None:
    """A server that counts all tokens gives the trace's first, which is no label."""
    endpoint.reply = said("Yes", first_token={"No": 0.99}, **apart)
    assert asked(endpoint, top_logprobs=5).first_token is None


def test_a_first_token_that_does_not_begin_the_text_is_not_its_own(endpoint: Endpoint) -> None:
    """Also where a server hides the trace altogether; a token with its space counts."""
    endpoint.enqueue(said("9", first_token={"1": 0.99}), said("Yes", first_token={"▁Yes": 0.9}))
    assert asked(endpoint, top_logprobs=5).first_token is None
    assert asked(endpoint, top_logprobs=5).first_token is not None


def test_a_reply_of_reasoning_alone_or_of_a_tool_call_says_so(endpoint: Endpoint) -> None:
    """The error names what came instead of an answer."""
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    endpoint.enqueue(
        said(None, reasoning_content="Spring tides, says [1]."),
        said(None, finish_reason="tool_calls", tool_calls=[call]),
    )
    with pytest.raises(ChatError, match="only reasoning"):
        answered(endpoint)
    with pytest.raises(ChatError, match="a tool call and no text"):
        answered(endpoint)


def test_a_stream_hides_a_reasoning_trace_however_it_is_cut(endpoint: Endpoint) -> None:
    """Tags that come in halves are recognised, and text that only looks like one is shown."""
    sent = ["<th", "ink>secret", " </thi", "nk>", "\n1 <", " 2 and ", "<t", "hat>", " [1]", "<thi"]
    endpoint.enqueue(Response(lines=events(sent)))
    *pieces, last = streamed(endpoint)
    assert "".join(str(piece) for piece in pieces) == "1 < 2 and <that> [1]<thi"
    assert isinstance(last, Completion)
