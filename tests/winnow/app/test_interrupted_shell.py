"""Ctrl-C during a streamed answer and in a chat of the shell."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.streaming import QUESTION, Slow, chatting
from winnow import RAGPipeline

pytestmark = pytest.mark.heavy


@pytest.mark.slow
def test_ctrl_c_in_the_shell_stops_the_model_and_exits_130_with_one_line(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Ctrl-C during a stream closes the connection and exits with 130, one line and no traceback."""
    slow = Slow()
    endpoint.enqueue(slow)
    environment = {
        **os.environ,
        "WINNOW_LLM__BASE_URL": endpoint.url, "WINNOW_LLM__API_KEY": "x",
        "WINNOW_LOG__URL": f"sqlite:///{tmp_path}/log.db",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow", "ask", QUESTION, "--answerer", "openai", "--stream",
         "--data-dir", str(data)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(5) == "word "
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["interrupted; an answer that was cut short is not logged"]
    assert slow.left.wait(10)
    assert len(endpoint.requests) == 1
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        assert pipeline.log.list() == []


@pytest.mark.slow
def test_a_chat_in_the_shell_keeps_its_history_and_survives_ctrl_c(
    data: Path, endpoint: Endpoint, tmp_path: Path
) -> None:
    """In a chat Ctrl-C stops only the answer, follow-ups are rewritten, and Ctrl-D leaves."""
    slow = Slow()
    endpoint.enqueue("Shake\x1b[2Jspeare [1].", "When was Hamlet written?", slow, "Goodbye [1].")
    environment = {
        **os.environ,
        "WINNOW_LLM__BASE_URL": endpoint.url, "WINNOW_LLM__API_KEY": "x",
        "WINNOW_LOG__URL": f"sqlite:///{tmp_path}/log.db", "TERM": "dumb",
    }  # fmt: skip
    words = [sys.executable, "-m", "winnow", "chat", "--answerer", "openai", "--data-dir", str(data)]
    handle, theirs = pty.openpty()
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    terminal = _Terminal(handle)
    terminal.until("> ").type("Who wrote Hamlet?\n")
    terminal.until("winnow log show").until("> ").type("And when?\n")
    terminal.until("word word")
    process.send_signal(signal.SIGINT)
    terminal.until("stopped; an answer that was cut short is not logged").until("> ").type("/new\n")
    terminal.until("> ").type("Who wrote Hamlet?\n")
    terminal.until("Goodbye [1].").until("> ").type("\x04")
    assert process.wait(60) == 0
    os.close(handle)
    assert slow.left.wait(10)
    assert "\x1b[2J" not in terminal.seen
    sent = [str(request.body["messages"]) for request in endpoint.requests]
    assert len(sent) == 4
    assert "Q: Who wrote Hamlet?" in sent[1]
    assert "When was Hamlet written?" in sent[2]
    with RAGPipeline.from_settings(chatting(data, endpoint, tmp_path)) as pipeline:
        assert [row.question for row in pipeline.log.list()] == ["Who wrote Hamlet?"] * 2


class _Terminal:
    """The other end of a pseudo-terminal."""

    def __init__(self, handle: int) -> None:
        self.seen = ""
        self._handle = handle
        self._read_to = 0

    def until(self, text: str) -> _Terminal:
        """Read until `text` appears after the text that was waited for before."""
        while (found := self.seen.find(text, self._read_to)) < 0:
            try:
                self.seen += os.read(self._handle, 4096).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"no {text!r} in {self.seen[self._read_to :]!r}") from error
        self._read_to = found + len(text)
        return self

    def type(self, text: str) -> None:
        os.write(self._handle, text.encode())
