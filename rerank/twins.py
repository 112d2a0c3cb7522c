"""Passages that say the same, of which one stays: equal but for case, width and spaces, or nearly equal."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storage.qdrant.matching import moment
from storage.reasons import Reason
from storage.records import Candidate, Chunk

# The Jaccard similarity of trigrams from which passages of two files say the same.
ALIKE = 0.9
# A shorter text may say something else under each heading: "Yes." answers many questions.
_SHORT = 100
# The smallest hashes of a text's trigrams: a sample of what it shares with others (Broder 1997).
_SKETCH = 32
_MIXER = np.uint64(0x9E3779B97F4A7C15)

_Hashes = NDArray[np.uint64]


class Twins:
    """Remembers passages and finds those that say the same as one of them.

    The same are equal letters, and in another file trigrams whose Jaccard similarity is at least `alike`.
    Records of one file are alike by their form, so that only equal ones are the same there.
    """

    def __init__(self, alike: float) -> None:
        self._alike = alike
        self._equal: dict[str, int] = {}
        self._trigrams: list[_Hashes] = []
        self._by_hash: dict[int, list[int]] = {}
        self._files: list[str] = []
        self._keys: list[int] = []

    def twin_of(self, chunk: Chunk, key: int, *, remember: bool = True) -> int | None:
        """The key of a remembered passage that says the same; None, and this one is remembered if wanted."""
        letters = _folded(chunk.text)
        if len(letters) < _SHORT:
            letters = f"{_folded(chunk.context)}\n{letters}"
        if (of := self._equal.get(letters)) is not None:
            return of
        if remember:
            self._equal[letters] = key
        if self._alike >= 1:
            return None
        hashes, file = _hashes(letters), chunk.source.partition("#")[0]
        sketch = _sketch(hashes)
        shared = Counter(place for one in sketch for place in self._by_hash.get(one, ()))
        for place, count in shared.items():
            # half of what is expected of twins: a sample of 32 misses them once in a million times
            if count < self._alike * len(sketch) / 2:
                continue
            if file != self._files[place] and _jaccard(hashes, self._trigrams[place]) >= self._alike:
                return self._keys[place]
        if not remember:
            return None
        for one in sketch:
            self._by_hash.setdefault(one, []).append(len(self._keys))
        self._trigrams.append(hashes)
        self._files.append(file)
        self._keys.append(key)
        return None


class Choice(Protocol):
    """Chooses the next candidate, by the places in the list of those that are left."""

    def best(self, left: Sequence[int]) -> int:
        """The position in `left` of the next."""
        ...

    def choose(self, place: int) -> None:
        """Note that this one stays."""
        ...


def without_twins(
    candidates: Sequence[Candidate], top_k: int, alike: float, choice: Choice | None = None
) -> tuple[list[int], dict[int, int]]:
    """The places of candidates to keep, best first, and of twins met on the way, each with whose.

    Of twins the newest stays, by the documents' `date`, or else the first. Without a `choice` they come as
    listed.
    """
    chosen: list[int] = []
    known = Twins(alike)
    twins: dict[int, int] = {}
    dates = [moment(one.chunk.metadata.get("date")) for one in candidates]
    left = list(range(len(candidates)))
    while left and (len(chosen) < top_k or any(dates)):
        full = len(chosen) == top_k
        place = left.pop(0 if full or choice is None else choice.best(left))
        of = known.twin_of(candidates[place].chunk, place, remember=not full)
        if of is None:
            if not full:
                chosen.append(place)
                if choice is not None:
                    choice.choose(place)
            continue
        kept = next((one for one in chosen if one == of or twins.get(of) == one), of)
        if _later(dates[place], dates[kept]):
            chosen[chosen.index(kept)] = place
            twins |= {one: place for one, own in twins.items() if own == kept} | {kept: place}
        else:
            twins[place] = kept
    return chosen, twins


def folded(candidates: Sequence[Candidate], twins: Mapping[int, int]) -> Reason:
    """The remark that names the file of each passage that stays, and the others that say the same."""
    names = [candidate.chunk.source.replace("\\", "/").rpartition("/")[2] for candidate in candidates]
    others: dict[str, dict[str, None]] = {}
    for one, own in twins.items():
        found = others.setdefault(names[own], {})
        if names[one] != names[own]:
            found[names[one]] = None
    listed = [f"{name}: {' '.join(found)}" if found else name for name, found in others.items()]
    return Reason("rerank.twins-folded", count=len(twins), twins=listed)


def _later(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _hashes(letters: str) -> _Hashes:
    """A hash for each trigram."""
    padded = letters.ljust(3).encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(padded, np.uint32).astype(np.uint64)
    packed = codes[:-2] | codes[1:-1] << np.uint64(21) | codes[2:] << np.uint64(42)
    return np.asarray(packed * _MIXER, np.uint64)


def _sketch(hashes: _Hashes) -> list[int]:
    """The smallest hashes that differ, at most 32."""
    few = 4 * _SKETCH
    small = hashes[hashes < (few << 64) // len(hashes)] if len(hashes) > few else hashes
    return sorted(set(small.tolist()))[:_SKETCH]


def _jaccard(one: _Hashes, other: _Hashes) -> float:
    mine, theirs = np.unique(one), np.unique(other)
    common = len(np.intersect1d(mine, theirs, assume_unique=True))
    return float(common / (len(mine) + len(theirs) - common))
