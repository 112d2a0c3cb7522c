"""Splitting a list into pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paging:
    """One page, from 1, of a list of `total` items; a page beyond the last is the last."""

    total: int
    per_page: int
    wanted: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.per_page))

    @property
    def page(self) -> int:
        return min(self.wanted, self.pages)

    @property
    def offset(self) -> int:
        """The number of items on the pages before."""
        return (self.page - 1) * self.per_page
