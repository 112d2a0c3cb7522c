"""The forward passes of a cross-encoder, shared by the questions that ask it at the same time.

One pass runs at a time, since two would only take each other's cores and memory. The question that came first
leads it with its longest pairs; where they leave room in the batch, pairs of later questions fill it that are
no longer. So nobody waits for company, and who came first is not put off by who came later.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from threading import Condition

# Token ids and token types of one pair.
Row = tuple[list[int], list[int]]
# A log-odds a row, in the rows' order.
Run = Callable[[Sequence[Row]], Sequence[float]]
# What a pass gave a question: numbers of its rows, each with its log-odds.
Found = list[tuple[int, float]]


@dataclass(slots=True, eq=False)
class _PassRequest:
    """A question's rows, the numbers of those that no pass has read yet (longest first), and what came."""

    rows: Sequence[Row]
    left: list[int]
    found: Found = field(default_factory=list)
    error: Exception | None = None

    def size(self, number: int) -> int:
        return len(self.rows[number][0])

    def give(self, number: int, came: float | Exception) -> None:
        if isinstance(came, Exception):
            self.left, self.error = [], came
        else:
            self.left.remove(number)
            self.found.append((number, came))

    def take(self) -> Found:
        if self.error is not None:
            raise self.error
        found, self.found = self.found, []
        return found


_Batch = Sequence[tuple[_PassRequest, int]]


class Passes:
    """Whose turn it is. `count` is how many passes there were."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = Condition()
        self._asked: list[_PassRequest] = []
        self._running = False

    def scored(self, rows: Sequence[Row], run: Run, budget: int) -> Generator[Found]:
        """What each pass gives these rows, until all are scored; one that read only others' gives nothing.

        A pass has at most `budget` tokens, padding included, or one row. Closed early, no more of these rows
        are read. Raises what `run` raises for them; the other questions of that pass go on.
        """
        asked = _PassRequest(rows, sorted(range(len(rows)), key=lambda number: -len(rows[number][0])))
        with self._changed:
            self._asked.append(asked)
        try:
            while self._goes_on(asked):
                yield self._next(asked, run, budget)
        finally:
            with self._changed:
                self._asked.remove(asked)

    def _goes_on(self, asked: _PassRequest) -> bool:
        with self._changed:
            return bool(asked.left or asked.found or asked.error)

    def _next(self, asked: _PassRequest, run: Run, budget: int) -> Found:
        """Wait for the pass under way, or run the next one, whosever rows it reads."""
        with self._changed:
            if self._running and asked.left and not asked.found:
                self._changed.wait()
            if self._running or asked.found or asked.error:
                return asked.take()
            batch = self._batch(budget)
            self._running = True
            self.count += 1
        came: list[tuple[_PassRequest, int, float | Exception]] = []
        try:
            came.extend(_read(batch, run))
        finally:
            with self._changed:
                for one, number, score in came:
                    one.give(number, score)
                self._running = False
                self._changed.notify_all()
        with self._changed:
            return asked.take()

    def _batch(self, budget: int) -> _Batch:
        """The rows of the next pass. By length, since on a CPU padding costs more than large batches gain.

        The longest come first, so that what does not fit into memory fails at once.
        """
        first = next(asked for asked in self._asked if asked.left)
        longest = first.size(first.left[0])
        room = max(1, budget // max(1, longest))
        batch = [(first, number) for number in first.left[:room]]
        if len(batch) == room:
            return batch
        others = (
            (asked, number)
            for asked in self._asked
            if asked is not first
            for number in asked.left
            if asked.size(number) <= longest
        )
        return [*batch, *nlargest(room - len(batch), others, key=lambda row: row[0].size(row[1]))]


def _read(batch: _Batch, run: Run) -> Iterator[tuple[_PassRequest, int, float | Exception]]:
    """Run a pass. Where it fails, each question's rows run by themselves: the fault is one question's."""
    try:
        scores = run([asked.rows[number] for asked, number in batch])
    except Exception as error:  # noqa: BLE001 - whoever asked for the row raises it
        askers = dict.fromkeys(asked for asked, _ in batch)
        if len(askers) == 1:
            yield (*batch[0], error)
            return
        for one in askers:
            yield from _read([row for row in batch if row[0] is one], run)
    else:
        for (asked, number), score in zip(batch, scores, strict=True):
            yield asked, number, score
