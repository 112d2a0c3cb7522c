"""A language model of one's own: a GGUF file behind llama.cpp's server, a child process on the loopback."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from storage.cores import available_cores
from storage.errors import ChatError, MissingDependencyError, SettingsError

_PROCESS = Path(__file__).with_name("llama_process.py")
_MAGIC = b"GGUF"
# Requests that are answered at once; each slot has a context of its own.
_SLOTS = 2
_SAID = 600


class LlamaServer:
    """Starts the server when it is first needed, and again where it has ended. Safe to use from threads.

    It ends with `close`, or with this process, however that ends: it waits for the end of a pipe.
    """

    def __init__(self, file: Path, *, context: int) -> None:
        """Raises SettingsError where the file is no GGUF file, MissingDependencyError without `xllamacpp`."""
        if find_spec("xllamacpp") is None:
            raise MissingDependencyError(
                "llm.gguf needs the package xllamacpp, which is missing",
                way_out="Run: pip install 'winnow-rag[local-llm]'. Or set llm.base_url for a server.",
            )
        self.file = file.expanduser().absolute()
        self._context = context
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._address = ("", "")
        _check(self.file)

    def address(self) -> tuple[str, str]:
        """The base URL and the key of the running server. Blocks while it starts. Raises ChatError."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._stop()
                self._address = self._started()
            return self._address

    def close(self) -> None:
        """End the server."""
        with self._lock:
            self._stop()

    def _started(self) -> tuple[str, str]:
        key, said = secrets.token_urlsafe(24), TemporaryFile()  # noqa: SIM115 - open as long as the process
        arguments = [str(self.file), str(self._context), str(_SLOTS), str(available_cores())]
        process = subprocess.Popen(
            [sys.executable, "-P", str(_PROCESS), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        self._process, self._said = process, said
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{key}\n".encode())
            process.stdin.flush()
            found: Any = json.loads(process.stdout.readline() or b"{}")
            return f"{found['url'].rstrip('/')}/v1", key
        except (OSError, ValueError, KeyError) as error:
            told = self._words()
            self._stop()
            raise ChatError(
                f"{self.file.name} cannot be served by llama.cpp: {told or 'it ended without a word'}",
                way_out="Check that llm.gguf is a chat model that fits into memory, or lower llm.context.",
            ) from error

    def _words(self) -> str:
        """The end of what the process wrote, in one line."""
        if self._process is None or self._said is None:
            return ""
        self._process.wait()
        self._said.seek(0)
        return " ".join(self._said.read().decode("utf-8", "replace").split())[-_SAID:]

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()  # which ends it
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._said is not None:
            self._said.close()
            self._said = None


def _check(file: Path) -> None:
    try:
        with file.open("rb") as opened:
            found = opened.read(len(_MAGIC))
    except OSError as error:
        raise SettingsError(f"llm.gguf: {file} cannot be read: {error.strerror}") from error
    if found != _MAGIC:
        raise SettingsError(f"llm.gguf: {file} is not a GGUF file")
