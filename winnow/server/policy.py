"""What a request may choose. It names no model, address, file or rerank API: only the settings do.

A spec that the settings name (`rerank.spec`, `server.specs`) may be named by anybody. Any other may use the
strategies that winnow brings, with options that are numbers; those that ask a chat model only where the
settings ask one themselves, so that nobody's key is spent because it lies there.
"""

from __future__ import annotations

from collections.abc import Iterator

from rerank.registry import STRATEGIES, strategy
from rerank.spec import Spec, Stage, Value
from storage.errors import SpecError
from storage.records import Answer
from winnow.app.settings import Settings
from winnow.server.errors import NotAllowedError

_WORDS = ("method", "scale")


class Policy:
    """What the settings allow to requests."""

    def __init__(self, settings: Settings) -> None:
        own = [Spec.parse(text) for text in (settings.rerank.spec, *settings.server.specs)]
        self._own = {_bare(stage) for spec in own for stage in spec.stages}
        self._asks_chat = settings.answer.answerer == "openai" or any(
            _over_network(stage) and stage.name != "api" for spec in own for stage in _all_stages(spec)
        )

    def check_rerank(self, spec: str | None) -> None:
        """Raises NotAllowedError, and SpecError where the spec does not parse."""
        if spec is None:
            return
        for stage in Spec.parse(spec).stages:
            self._check_stage(stage)

    def check_answerer(self, answerer: str | None) -> None:
        """Raises NotAllowedError."""
        if answerer == "openai" and not self._asks_chat:
            raise NotAllowedError(
                "this server asks no chat model", way_out="Whoever runs it sets answer.answerer = openai."
            )

    def check_replay(self, original: Answer, rerank: str | None, answerer: str | None) -> None:
        """As the others, with what the replayed answer was made by where nothing is chosen."""
        self.check_rerank(rerank or original.rerank)
        self.check_answerer(answerer or ("extractive" if original.answerer == "extractive" else "openai"))

    def _check_stage(self, stage: Stage) -> None:
        if _bare(stage) in self._own:
            return
        if stage.name == "api" or (stage.name not in STRATEGIES and _exists(stage)):
            raise _refused(f"a request may not choose the strategy {stage.name!r}")
        for name, value in stage.options:
            if stage.name == "fusion" and name == "of":
                for text in str(value).split(";"):
                    self.check_rerank(text)
            elif not _harmless(name, value):
                raise _refused(f"a request may not set {name!r} of {stage.name}")
        if _over_network(stage) and not self._asks_chat:
            raise _refused(f"{stage.name} asks a chat model, and this server asks none")


def _refused(message: str) -> NotAllowedError:
    return NotAllowedError(message, way_out="Whoever runs the server adds the spec to server.specs.")


def _harmless(name: str, value: Value) -> bool:
    if isinstance(value, bool):
        return name == "logprobs"
    return isinstance(value, int | float) or name in _WORDS


def _bare(stage: Stage) -> tuple[str, tuple[tuple[str, Value], ...]]:
    return stage.name, tuple(sorted(stage.options, key=lambda option: option[0]))


def _exists(stage: Stage) -> bool:
    strategy(stage.name)  # raises SpecError, which names the nearest
    return True


def _over_network(stage: Stage) -> bool:
    calls = getattr(strategy(stage.name), "calls", None)
    return callable(calls) and bool(calls(50, 5))


def _all_stages(spec: Spec) -> Iterator[Stage]:
    """The stages, and those inside a fusion."""
    for stage in spec.stages:
        yield stage
        of = dict(stage.options).get("of")
        if stage.name == "fusion" and of is not None:
            for text in str(of).split(";"):
                yield from _all_stages(_parsed(text))


def _parsed(text: str) -> Spec:
    try:
        return Spec.parse(text)
    except SpecError:
        return Spec(())  # loading the fusion says what is wrong
