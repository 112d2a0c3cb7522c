"""Each sub-question is answered by itself, and the answers are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from generation.base import Generator
from generation.citations import places
from storage.reasons import Reason
from storage.records import WEAK_MATCH, Candidate, Citation, Generation, Usage, worst
from winnow.app.in_parts.dividing import part_of
from winnow.app.in_parts.ranking import seen_by


@dataclass(frozen=True, slots=True)
class AnswerInParts:
    """A Generator that has each sub-question answered from its own passages, and joins the answers."""

    generator: Generator
    questions: tuple[str, ...]

    async def generate(self, question: str, candidates: Sequence[Candidate]) -> Generation:
        """See `generation.base.Generator`. The outcome names the sub-questions without a good answer."""
        places_of = {candidate.id: place for place, candidate in enumerate(candidates, start=1)}
        answers, missing = list[tuple[Reason, Generation]](), list[Reason]()
        for n, part in enumerate(self.questions, start=1):
            own = seen_by(n, candidates, "final")
            generation = await self.generator.generate(part, own)
            if not generation.answered:  # the sides of a comparison may answer what it does not as a whole
                missing += [] if part == question else [Reason("winnow.app.part-unanswered", question=part)]
                continue
            markers = {place: places_of[one.id] for place, one in enumerate(own, start=1)}
            answers.append((part_of(n, part), _renumbered(generation, markers)))
        if not answers:
            return await self.generator.generate(question, candidates)
        found = [generation for _, generation in answers]
        outcomes = [generation.outcome for generation in found]
        reasons = [*_remarks(answers), *missing]
        return replace(
            found[0],
            text="\n\n".join(dict.fromkeys(generation.text for generation in found)),
            citations=tuple(
                dict.fromkeys(citation for generation in found for citation in generation.citations)
            ),
            outcome=replace(
                outcomes[0],
                status=worst([*(one.status for one in outcomes), "partial" if missing else "ok"]),
                reason=Reason.all(reasons) if reasons else "",
                ms=sum(one.ms for one in outcomes),
                usage=sum((one.usage for one in outcomes), Usage()),
            ),
        )


def _remarks(found: Sequence[tuple[Reason, Generation]]) -> list[Reason]:
    """The warnings of the answers to the parts; of weak matches once, with the parts that have one."""
    told = [(part, one) for part, answer in found for one in Reason.of(answer.outcome.reason).parts if one]
    weak = {part: one.values["percent"] for part, one in told if one.code == WEAK_MATCH}
    remarks = [one for _, one in told if one.code != WEAK_MATCH]
    if weak:
        remarks.append(Reason("winnow.app.weak-parts", parts=list(weak), percents=list(weak.values())))
    return remarks


def _renumbered(generation: Generation, markers: Mapping[int, int]) -> Generation:
    text = generation.text
    for start, end, numbers in reversed(places(text, generation.citations)):
        shown = ", ".join(str(markers.get(number, number)) for number in numbers)
        text = f"{text[:start]}[{shown}]{text[end:]}"
    return replace(
        generation, text=text, citations=tuple(_moved(one, markers) for one in generation.citations)
    )


def _moved(citation: Citation, markers: Mapping[int, int]) -> Citation:
    return replace(citation, marker=markers[citation.marker])
