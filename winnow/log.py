"""`pipeline.log`: the answer log, with replays and comparisons, which need models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from storage.errors import SettingsError
from storage.log.answer_log import AnswerLog
from storage.log.export import Shape
from storage.log.records import (
    EVERY,
    EVERYBODY,
    AnswerFilter,
    AnswerSummary,
    ExportFormat,
    Feedback,
    LogReader,
)
from storage.records import Answer
from winnow.app import portal
from winnow.app.replay import Replay, replay

if TYPE_CHECKING:
    from winnow.app.wiring import Wiring
    from winnow.lab.comparing import SpecRow
    from winnow.lab.progress import Progress

MOST = 100


def as_json(answer: Answer, feedback: Feedback, summary: AnswerSummary) -> dict[str, Any]:
    """Return the JSON of a logged answer, for an export."""
    from winnow.app.json_model.log import LoggedAnswerJson

    return LoggedAnswerJson.of_entry(answer, feedback, summary).to_json()


class Log(AnswerLog):
    """The answer log, with replays and comparisons."""

    def __init__(self, wiring: Wiring, *, reader: LogReader = EVERYBODY) -> None:
        super().__init__(wiring.database, redact=wiring.settings.log.redact, reader=reader)
        self._wiring = wiring

    def off(self) -> None:
        """Stop logging answers of this data folder, in every process; the log stays and can be read.

        Raises SettingsError if the data folder cannot be written.
        """
        settings = self._wiring.settings
        settings.make_data_dir()
        try:
            settings.log_switch.touch()
        except OSError as error:
            raise SettingsError(f"cannot write {settings.log_switch}: {error.strerror}") from error

    def on(self) -> None:
        """Log answers again. Raises SettingsError if the data folder cannot be written."""
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
        done = portal.call(self._again(original, rerank, answerer, top_k))
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
        """`replay`, saved, for any asyncio loop. Cancelling it cancels the work, which is then not logged."""
        original = await anyio.to_thread.run_sync(lambda: self.get(id_or_prefix))
        done = await portal.acall(self._again(original, rerank, answerer, top_k))
        await anyio.to_thread.run_sync(lambda: self.save(done.answer, replay_of=original.id))
        return done

    def _again(
        self, original: Answer, rerank: str | None, answerer: str | None, top_k: int | None
    ) -> Callable[[], Awaitable[Replay]]:
        return partial(
            replay,
            original,
            self._wiring,
            rerank=rerank,
            answerer=answerer,
            top_k=top_k,
            scores_of=self.reader.scores_of,
        )

    def compare(
        self,
        specs: Sequence[str],
        where: AnswerFilter = EVERY,
        *,
        last: int = MOST,
        progress: Progress | None = None,
    ) -> list[SpecRow]:
        """Compare rerank specs over the newest `last` answers that match; replays are not logged.

        `progress` is called after each replay; `winnow.lab.reports.comparison` makes a page of the rows.
        Raises BadInputError if there is nothing to compare.
        """
        from winnow.lab.comparing import compare_logged

        return compare_logged(self, self._wiring, specs, where, last=last, progress=progress)

    def export(
        self, form: ExportFormat, target: Path, where: AnswerFilter = EVERY, *, shape: Shape = as_json
    ) -> int:
        """See `AnswerLog.export`; answers have the same JSON as everywhere (docs/answer.schema.json)."""
        return super().export(form, target, where, shape=shape)

    def regress(self, where: AnswerFilter = EVERY, *, progress: Progress | None = None) -> SpecRow:
        """Replay all judged answers with the settings' own chain. Raises BadInputError if none is judged."""
        from winnow.lab.comparing import regress

        return regress(self, self._wiring, where, progress)
