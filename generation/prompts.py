"""What a chat model is sent: templates in two languages, and passages that cannot pass for instructions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from generation.language import language_of
from storage.chat import Message
from storage.errors import SettingsError
from storage.records import Candidate

NAMES = ("system.en", "system.zh", "user.en", "user.zh")
_NEEDED = {"system": frozenset[str](), "user": frozenset({"passages", "question"})}
_ALLOWED = frozenset({"fence", "passages", "question"})
_TITLE = 200
# <|im_start|> and its like: some servers read them as the turns of the conversation, wherever they stand
_CONTROL_TOKEN = re.compile(
    r"<\|(?=[^|\n]{1,40}\|>)|<(?=/?(?:s|bos|eos|start_of_turn|end_of_turn)>)|\[(?=/?INST\])"
)


@dataclass(frozen=True, slots=True)
class Templates:
    """System and user prompt by language, as `string.Template`s over $fence, $passages and $question."""

    texts: tuple[tuple[str, str], ...]

    @classmethod
    def load(cls, folder: Path | None = None) -> Templates:
        """winnow's own templates; a file `system.en.txt`, … in `folder` takes the place of ours.

        Raises SettingsError where a file is not readable, or misses or misnames a placeholder.
        """
        if folder is not None and not folder.is_dir():
            raise SettingsError(
                f"the folder of prompt templates does not exist: {folder}",
                way_out=f"Make it, with one or more of {', '.join(f'{name}.txt' for name in NAMES)}.",
            )
        return cls(tuple((name, _checked(name, _read(name, folder))) for name in NAMES))

    @property
    def fingerprint(self) -> str:
        """Which wording was used: a hash of all templates."""
        return hashlib.sha256("\0".join(text for _, text in self.texts).encode()).hexdigest()[:16]

    def messages(self, question: str, candidates: Sequence[Candidate]) -> list[Message]:
        """System and user message in the question's language; passages numbered from 1, as given."""
        fence = _fence(question, candidates)
        passages = "\n\n".join(_passage(n, one, fence) for n, one in enumerate(candidates, start=1))
        values = {"fence": fence, "passages": passages, "question": question.strip()}
        language, texts = language_of(question), dict(self.texts)
        return [
            Message("system", Template(texts[f"system.{language}"]).substitute(values).strip()),
            Message("user", Template(texts[f"user.{language}"]).substitute(values).strip()),
        ]


def _read(name: str, folder: Path | None) -> str:
    own = folder / f"{name}.txt" if folder is not None else None
    try:
        if own is not None and own.exists():
            return own.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the prompt template {own} cannot be read: {error}") from error
    return (resources.files("generation") / "templates" / f"{name}.txt").read_text(encoding="utf-8")


def _checked(name: str, text: str) -> str:
    template = Template(text)
    used = frozenset(template.get_identifiers())
    if not template.is_valid() or used - _ALLOWED:
        wrong = ", ".join(f"${one}" for one in sorted(used - _ALLOWED)) or "a lone $"
        raise SettingsError(
            f"the prompt template {name}.txt holds {wrong}",
            way_out="Only $fence, $passages and $question are filled in; write $$ for a dollar sign.",
        )
    if missing := _NEEDED[name.partition(".")[0]] - used:
        lacking = ", ".join(f"${one}" for one in sorted(missing))
        raise SettingsError(f"the prompt template {name}.txt misses {lacking}", way_out="Add it.")
    return text


def _fence(question: str, candidates: Sequence[Candidate]) -> str:
    """A line that no passage can hold: it depends on all of them, so that nobody can write it beforehand.

    It is the same for the same question and passages, so that a prompt can be replayed.
    """
    texts = (question, *(candidate.text for candidate in candidates))
    return (
        f"======{hashlib.sha256(chr(0).join(texts).encode('utf-8', 'surrogatepass')).hexdigest()[:12]}======"
    )


def _passage(number: int, candidate: Candidate, fence: str) -> str:
    return f"[{number}] {_label(candidate)}\n{fence}\n{_harmless(candidate.text.strip())}\n{fence}"


def _label(candidate: Candidate) -> str:
    """Title, heading path and page in one short line."""
    chunk = candidate.chunk
    parts = [chunk.title or chunk.source, *(heading for heading in chunk.headings if heading != chunk.title)]
    if chunk.page is not None:
        parts.append(f"p. {chunk.page}")
    line = " › ".join(" ".join(part.split()) for part in parts if part.strip())
    return _harmless("".join(ch for ch in line if ch.isprintable())[:_TITLE])


def _harmless(text: str) -> str:
    """Control tokens of chat formats, broken by a space."""
    return _CONTROL_TOKEN.sub(lambda match: match[0] + " ", text)
