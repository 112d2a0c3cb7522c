"""Restricts what a request may choose: no model, address, file or rerank API; only the settings name these.

A spec in the settings (`rerank.spec`, `server.specs`) is open to every request. Any other spec may use
winnow's own strategies with numeric options, and strategies that call a chat model only where the settings
call one themselves, so that no key is spent just because it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from rerank.chain import check_spec
from rerank.registry import STRATEGIES, strategy
from rerank.spec import Spec, Stage, Value
from storage.errors import WinnowError
from storage.records import Answer
from winnow.app.setting_defaults import CHAT_PARTS
from winnow.app.settings import Settings
from winnow.server.errors import NotAllowedError

_APIS = ("api", "decision")
_WORDS = ("method", "scale", "instruction", "field", "where")


class Policy:
    """The choices that the settings allow to requests. Raises SpecError for a spec that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        own = [Spec.parse(text) for text in (settings.rerank.spec, *settings.server.specs)]
        for spec in own:
            check_spec(spec)
        self._own = {_bare(stage) for spec in own for stage in spec.stages}
        divides = settings.retrieval.parts in CHAT_PARTS
        self.asks_chat = (
            divides
            or settings.answer.answerer == "openai"
            or any(
                _over_network(stage) and stage.name not in _APIS
                for spec in own
                for stage in _all_stages(spec)
            )
        )

    def check_rerank(self, spec: str | None) -> None:
        """Raises NotAllowedError, and SpecError where the spec does not parse."""
        if spec is None:
            return
        for stage in Spec.parse(spec).stages:
            self._check_stage(stage)

    def allows(self, spec: str) -> bool:
        """Tell whether a request may choose a spec."""
        try:
            self.check_rerank(spec)
        except WinnowError:
            return False
        return True

    def check_answerer(self, answerer: str | None) -> None:
        """Raises NotAllowedError."""
        if answerer == "openai" and not self.asks_chat:
            raise NotAllowedError(
                "this server calls no chat model", way_out="Whoever runs it can set answer.answerer = openai."
            )

    def check_parts(self, parts: str | None) -> None:
        """Raises NotAllowedError for a division that a chat model makes, where none may be asked."""
        if parts in CHAT_PARTS:
            self.check_answerer("openai")

    def check_replay(self, original: Answer, rerank: str | None, answerer: str | None) -> None:
        """Check spec and answerer of a replay: those chosen, else the original's. Raises like the others."""
        self.check_rerank(rerank or original.rerank)
        self.check_answerer(answerer or ("extractive" if original.answerer == "extractive" else "openai"))

    def _check_stage(self, stage: Stage) -> None:
        if _bare(stage) in self._own:
            return
        if stage.name in _APIS or (stage.name not in STRATEGIES and _exists(stage)):
            raise _refused(f"a request may not choose the strategy {stage.name!r}")
        for name, value in stage.options:
            if stage.name == "fusion" and name == "of":
                for text in str(value).split(";"):
                    self.check_rerank(text)
            elif not _harmless(name, value):
                raise _refused(f"a request may not set {name!r} of {stage.name}")
        if _over_network(stage) and not self.asks_chat:
            raise _refused(f"{stage.name} calls a chat model, and this server calls none")


def _refused(message: str) -> NotAllowedError:
    return NotAllowedError(message, way_out="Whoever runs the server can add the spec to server.specs.")


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
    """Yield the stages, and those inside a fusion."""
    for stage in spec.stages:
        yield stage
        of = dict(stage.options).get("of")
        if stage.name == "fusion" and of is not None:
            for text in str(of).split(";"):
                yield from _all_stages(Spec.parse(text))
