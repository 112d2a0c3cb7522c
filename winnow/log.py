"""`pipeline.log`: the answer log, and what needs models beside it: replay, compare, regress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import TYPE_CHECKING

import anyio.to_thread

from storage.answer_log import AnswerLog
from storage.errors import BadInputError, SettingsError
from storage.log_records import EVERY, AnswerFilter
from storage.records import Answer
from winnow import portal
from winnow.comparing import Progress, SpecRow, compare
from winnow.replay import Replay, replay

if TYPE_CHECKING:
    from winnow.wiring import Wiring

MOST = 100


class Log(AnswerLog):
    """Everything that `AnswerLog` does, and replays."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring.database, redact=wiring.settings.log.redact)
        self._wiring = wiring

    def off(self) -> None:
        """Log no more answers of this data folder, in any process; what is logged stays and can be read.

        Raises SettingsError where the data folder cannot be written.
        """
        settings = self._wiring.settings
        settings.make_data_dir()
        try:
            settings.log_switch.touch()
        except OSError as error:
            raise SettingsError(f"cannot write {settings.log_switch}: {error.strerror}") from error

    def on(self) -> None:
        """Log answers again. Raises SettingsError where the data folder cannot be written."""
        switch = self._wiring.settings.log_switch
        try:
            switch.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot remove {switch}: {error.strerror}") from error

    def replay(
        self,
        id_or_prefix: str,
        rerank: str | None = None,
        *,
        answerer: str | None = None,
        top_k: int | None = None,
        save: bool = True,
    ) -> Replay:
        """Run a logged answer's candidates through another chain or answerer; saved, linked to its original.

        No vector store is touched. Raises NotFoundError, SpecError.
        """
        original = self.get(id_or_prefix)
        done = portal.call(
            lambda: replay(original, self._wiring, rerank=rerank, answerer=answerer, top_k=top_k)
        )
        if save:
            self.save(done.answer, replay_of=original.id)
        return done

    async def areplay(
        self,
        id_or_prefix: str,
        rerank: str | None = None,
        *,
        answerer: str | None = None,
        top_k: int | None = None,
    ) -> Replay:
        """`replay`, saved, for a coroutine of any asyncio loop: cancelling it cancels the work.

        One that was cancelled is not logged.
        """
        original = await anyio.to_thread.run_sync(lambda: self.get(id_or_prefix))
        done = await portal.acall(
            lambda: replay(original, self._wiring, rerank=rerank, answerer=answerer, top_k=top_k)
        )
        await anyio.to_thread.run_sync(lambda: self.save(done.answer, replay_of=original.id))
        return done

    def compare(
        self,
        specs: Sequence[str],
        where: AnswerFilter = EVERY,
        *,
        last: int = MOST,
        progress: Progress | None = None,
    ) -> list[SpecRow]:
        """Rerank specs over the newest `last` answers that are meant; replays are not logged.

        `progress` is told how far each spec is; `winnow.comparison_report` makes a page of the rows. Raises
        BadInputError where there is nothing to compare.
        """
        return self._compared(self._newest(where, last), specs, progress)

    def regress(self, where: AnswerFilter = EVERY, *, progress: Progress | None = None) -> SpecRow:
        """All judged answers under the settings' own chain. Raises BadInputError where none is judged."""
        judged = self._newest(changed(where, feedback="judged"), None)
        if not judged:
            raise BadInputError(
                "no answer has judged passages", way_out="Judge some: winnow log feedback ID --passage 1=3"
            )
        return self._compared(judged, [self._wiring.settings.rerank.spec], progress)[0]

    def grades(self, answer: Answer) -> dict[str, int]:
        """The grades (0 to 3) that people gave an answer's passages, by chunk id."""
        places = self.feedback_of(answer.id).grades
        return {answer.candidates[place - 1].id: grade for place, grade in places.items()}

    def _compared(
        self, answers: Sequence[Answer], specs: Sequence[str], progress: Progress | None
    ) -> list[SpecRow]:
        grades = {answer.id: self.grades(answer) for answer in answers}
        return portal.call(lambda: compare(answers, grades, specs, self._wiring, progress))

    def _newest(self, where: AnswerFilter, last: int | None) -> list[Answer]:
        """The newest answers, replays left out: they would count their originals twice."""
        found: list[Answer] = []
        for answer in self.answers(changed(where, replays=False)):
            if last is not None and len(found) == last:
                break
            found.append(answer)
        return found
