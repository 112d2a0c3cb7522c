"""Makes answerers out of the parts, and what divides and completes questions for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrieval.models.hub import DEFAULT_MODEL
from storage.errors import BadInputError
from storage.qdrant.contract import TokenScorer
from winnow.app.answer_judges.cross_encoder import AnswerJudge, load
from winnow.app.chat_models import make_prompter
from winnow.app.encoders import Encoders
from winnow.app.in_parts.dividing import ClauseDivider, Divider
from winnow.app.setting_defaults import PartsName, answerer_name
from winnow.app.wiring.rerankers import RerankWiring

if TYPE_CHECKING:
    from generation.base import Generator
    from generation.extractive.answerer import Scale
    from generation.followup import Rewriter
    from retrieval.encoders.encoder import Encoder


def similarity_scale(encoder: Encoder) -> Scale:
    """Return how the extractive answerer reads an encoder's similarities."""
    from generation.extractive.answerer import E5, PROJECTED, WHOLE

    if encoder.id.startswith(DEFAULT_MODEL):
        return E5
    return PROJECTED if encoder.projects_tokens else WHOLE


class AnswerWiring(RerankWiring):
    """The parts and chains, and the answerers that are made of them."""

    def generator(
        self,
        store: TokenScorer,
        encoders: Encoders,
        answerer: str | None = None,
        *,
        scored_by: str | None = None,
    ) -> Generator:
        """Make the answerer that the settings or the caller name.

        `scored_by` is the stage whose scores `answer.min_score` applies to, by default the last that scored
        a candidate.
        """
        from generation.abstention import ScoreFloor

        chosen = self.settings.answer
        generator = self._answerer(store, encoders, answerer_name(answerer or chosen.answerer))
        if chosen.min_score is None:
            return generator
        return ScoreFloor(generator, at_least=chosen.min_score, stage=scored_by)

    def _answerer(self, store: TokenScorer, encoders: Encoders, name: str) -> Generator:
        if name == "extractive":
            from generation.extractive.answerer import ExtractiveAnswerer

            scale, judge = similarity_scale(encoders.dense), self.kept("judge", lambda: AnswerJudge(load))
            return ExtractiveAnswerer(
                encoders.dense,
                store,
                encoders.lexical,
                scale=scale,
                judge=judge,
                verifier=self._verifier(encoders.dense),
            )
        if name != "openai":
            raise BadInputError(f"there is no answerer {name!r}", way_out="There are: extractive, openai.")
        from generation.chat.answerer import ChatAnswerer

        return ChatAnswerer(
            self.traced_chat(),
            prompter=make_prompter(self.settings),
            max_tokens=self.settings.answer.max_tokens,
            check=self.settings.answer.check,
            keep_exchanges=self.settings.log.llm_calls,
        )

    def _verifier(self, encoder: Encoder) -> AnswerJudge | None:
        load_chinese = self.chinese(encoder)
        return None if load_chinese is None else self.kept("verifier", lambda: AnswerJudge(load_chinese))

    def answers_parts(self, answerer: str | None = None) -> bool:
        """True if the answerer takes one question at a time; a chat model answers several at once."""
        name: str = answerer_name(answerer or self.settings.answer.answerer)
        return name == "extractive"

    def divider(self, parts: PartsName) -> Divider | None:
        """Make the divider of that name; None where questions are left whole."""
        if parts == "off":
            return None
        if parts == "clauses":
            return ClauseDivider()
        from generation.chat.templating import Templates
        from winnow.app.in_parts.chat_divider import ChatDivider

        templates = Templates.load(self.settings.answer.templates)
        return ChatDivider(
            self.traced_chat(), parts, templates, self.rerank_parts(None, None, remembering=False)
        )

    def rewriter(self, answerer: str | None) -> Rewriter:
        """Make the rewriter of follow-ups: the chat model only if it answers, too."""
        from generation.chat.templating import Templates
        from generation.followup import ChatRewriter, JoinedRewriter

        if answerer_name(answerer or self.settings.answer.answerer) != "openai":
            return JoinedRewriter()
        templates = Templates.load(self.settings.answer.templates)
        return ChatRewriter(self.traced_chat(), templates, keep_exchanges=self.settings.log.llm_calls)
