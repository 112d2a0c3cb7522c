"""The files of a vocabulary of pieces: written once, and read a group of pieces at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from retrieval.encoders.unigram import SPACE
from storage.vectors import Floats

# Ids of pieces, and the length of the longest.
Group = tuple[dict[str, int], int]


class PieceTable:
    """The pieces of a folder, grouped by their beginnings."""

    def __init__(self, folder: Path) -> None:
        self._text = (folder / "pieces.txt").read_bytes()
        self._ids = np.load(folder / "ids.npy")
        # as a plain array: looking at a memmap's single numbers takes several times as long
        self.scores = np.asarray(np.load(folder / "scores.npy", mmap_mode="r"))
        groups = (folder / "groups.txt").read_bytes().decode().split("\0")
        self._places = dict(zip(groups, np.load(folder / "groups.npy").tolist(), strict=True))
        *special, self.lowest = (folder / "always.txt").read_bytes().decode().split("\0")
        self.special = tuple(special)

    @property
    def keys(self) -> Collection[str]:
        """The beginnings that there are pieces of."""
        return self._places.keys()

    def group(self, key: str) -> Group:
        if key not in self._places:
            return {}, 0
        start, end, first, last, longest = self._places[key]
        pieces = self._text[start:end].decode().split("\0")
        return dict(zip(pieces, self._ids[first:last].tolist(), strict=True)), longest


def write_pieces(folder: Path, pieces: Sequence[str], scores: Floats) -> None:
    """Write the files of a PieceTokenizer, of pieces and their log probabilities by id."""
    grouped: dict[str, list[int]] = {}
    for number, piece in enumerate(pieces):
        grouped.setdefault(beginning(piece, 0), []).append(number)
    text, ids = bytearray(), list[int]()
    places = []
    for numbers in grouped.values():
        start, first = len(text), len(ids)
        text += "\0".join(pieces[number] for number in numbers).encode()
        ids += numbers
        places.append((start, len(text), first, len(ids), max(len(pieces[number]) for number in numbers)))
    (folder / "pieces.txt").write_bytes(text)
    (folder / "groups.txt").write_bytes("\0".join(grouped).encode())
    (folder / "always.txt").write_bytes("\0".join([*pieces[:4], pieces[int(np.argmin(scores))]]).encode())
    np.save(folder / "groups.npy", np.array(places, np.int32))
    np.save(folder / "ids.npy", np.array(ids, np.int32))
    np.save(folder / "scores.npy", np.asarray(scores, np.float32))


def beginning(word: str, start: int) -> str:
    """Return the beginning that groups pieces: one character, or two where the first marks a space."""
    return word[start : start + 2] if word[start] == SPACE else word[start]
