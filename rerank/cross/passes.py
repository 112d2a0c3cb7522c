"""The forward passes of a cross-encoder, shared by concurrent questions.

One pass runs at a time, since two would only compete for cores and memory. The earliest question fills it
with its longest pairs; where these leave room in the batch, pairs of later questions that are no longer are
added. So no question waits for others, and a later one never delays an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from threading import Condition

from rerank.cross.queued import QUESTIONS

# With more questions waiting than this, each should read less.
_MANY = 4
# Token ids and token types of one pair.
Row = tuple[list[int], list[int]]
# Maps rows to their log-odds, in the rows' order.
Run = Callable[[Sequence[Row]], Sequence[float]]
# A pass's results for a question: numbers of its rows, each with its log-odds.
Found = list[tuple[int, float]]


@dataclass(slots=True, eq=False)
class _PassRequest:
    """A question's rows, the numbers of the unread ones (longest first), and results not yet taken."""

    rows: Sequence[Row]
    left: list[int]
    found: Found = field(default_factory=list)
    error: Exception | None = None

    def size(self, number: int) -> int:
        return len(self.rows[number][0])

    def give(self, number: int, result: float | Exception) -> None:
        if isinstance(result, Exception):
            self.left, self.error = [], result
        else:
            self.left.remove(number)
            self.found.append((number, result))

    def take(self) -> Found:
        if self.error is not None:
            raise self.error
        found, self.found = self.found, []
        return found


_Batch = Sequence[tuple[_PassRequest, int]]


class Passes:
    """Schedules the passes of one model. `count` is the number of passes so far."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = Condition()
        self._requests: list[_PassRequest] = []
        self._running = False

    @property
    def crowded(self) -> bool:
        """True where the waiting questions are too many for each to read all."""
        return self.waiting > _MANY

    @property
    def waiting(self) -> int:
        """The number of questions that have unread rows, and of those that the process has not begun with."""
        with self._changed:
            return sum(bool(request.left) for request in self._requests) + QUESTIONS.count

    def scored(self, rows: Sequence[Row], run: Run, budget: int) -> Generator[Found]:
        """The results of each pass for these rows (none where it read only others'), until all are scored.

        A pass has at most `budget` tokens, padding included, or one row. Closing the generator early stops
        the reading. Raises the error of `run` for these rows; the other questions of that pass continue.
        """
        request = _PassRequest(rows, sorted(range(len(rows)), key=lambda number: -len(rows[number][0])))
        with self._changed:
            self._requests.append(request)
        try:
            while self._unfinished(request):
                yield self._next(request, run, budget)
        finally:
            with self._changed:
                self._requests.remove(request)

    def _unfinished(self, request: _PassRequest) -> bool:
        with self._changed:
            return bool(request.left or request.found or request.error)

    def _next(self, request: _PassRequest, run: Run, budget: int) -> Found:
        """Wait for the pass in progress, or run the next one, whichever question's rows it reads."""
        with self._changed:
            if self._running and request.left and not request.found:
                self._changed.wait()
            if self._running or request.found or request.error:
                return request.take()
            batch = self._batch(budget)
            self._running = True
            self.count += 1
        results: list[tuple[_PassRequest, int, float | Exception]] = []
        try:
            results.extend(_read(batch, run))
        finally:
            with self._changed:
                for one, number, score in results:
                    one.give(number, score)
                self._running = False
                self._changed.notify_all()
        with self._changed:
            return request.take()

    def _batch(self, budget: int) -> _Batch:
        """The rows of the next pass, by length: on a CPU padding costs more than large batches gain.

        The longest come first, so that a batch that does not fit into memory fails at once.
        """
        first = next(request for request in self._requests if request.left)
        longest = first.size(first.left[0])
        room = max(1, budget // max(1, longest))
        batch = [(first, number) for number in first.left[:room]]
        if len(batch) == room:
            return batch
        others = (
            (request, number)
            for request in self._requests
            if request is not first
            for number in request.left
            if request.size(number) <= longest
        )
        return [*batch, *nlargest(room - len(batch), others, key=lambda row: row[0].size(row[1]))]


def _read(batch: _Batch, run: Run) -> Iterator[tuple[_PassRequest, int, float | Exception]]:
    """Run a pass. Where it fails, each question's rows run on their own, to find the question at fault."""
    try:
        scores = run([request.rows[number] for request, number in batch])
    except Exception as error:  # noqa: BLE001 - raised by the question that the row belongs to
        requests = list(dict.fromkeys(request for request, _ in batch))
        if len(requests) == 1:
            yield (*batch[0], error)
            return
        for request in requests:
            yield from _read([row for row in batch if row[0] is request], run)
    else:
        for (request, number), score in zip(batch, scores, strict=True):
            yield request, number, score
