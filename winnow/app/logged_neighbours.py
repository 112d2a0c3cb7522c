"""The neighbours that an answer was logged with, joined again without a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieval.expansion import STAGE, Expander, Expansion
from storage.records import Answer, Candidate, Chunk, worst


class LoggedExpander:
    """An Expander over what the log holds: the passages that the answer was given then, and no others."""

    def __init__(self, original: Answer, reach: int) -> None:
        self._final = {candidate.id for candidate in original.final}
        self._then = next((stage for stage in original.stages if stage.name == STAGE), None)
        self._expander = Expander(_Held(original), reach)

    async def expand(self, final: Sequence[Candidate]) -> Expansion:
        """See `Expander.expand`. Passages that were not final then have no neighbours in the log."""
        expansion = await self._expander.expand(final)
        others = sum(candidate.id not in self._final for candidate in final)
        outcome = expansion.outcome
        if self._then is not None and self._then.status != "ok":
            # what went wrong then still shows in what is here
            outcome = replace(outcome, status=self._then.status, reason=self._then.reason)
        if others:
            said = (
                f"the log has no neighbours of {others} of {len(final)} passages, which were not final then"
            )
            status = worst((outcome.status, "partial"))
            outcome = replace(outcome, status=status, reason="; ".join(filter(None, (outcome.reason, said))))
        return replace(expansion, outcome=outcome)


class _Held:
    def __init__(self, original: Answer) -> None:
        self._chunks = [*original.neighbours, *(candidate.chunk for candidate in original.final)]

    def neighbours(self, chunks: Sequence[Chunk], reach: int) -> list[Chunk]:
        """See `storage.qdrant.contract.Neighbourhood`."""
        wanted = {
            (chunk.document_id, chunk.ordinal + step) for chunk in chunks for step in range(-reach, reach + 1)
        }
        return [chunk for chunk in self._chunks if (chunk.document_id, chunk.ordinal) in wanted]
