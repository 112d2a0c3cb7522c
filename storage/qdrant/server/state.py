"""Reads a server's version, its nodes and the layout of a collection on them, for `winnow doctor`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Self

from storage.errors import StoreError
from storage.qdrant.server.limits import StrictLimits
from storage.qdrant.server.link import ServerLink
from storage.qdrant.server.substrings import SINCE, number
from storage.qdrant.server.writes import describe
from storage.reasons import Reason

_ACTIVE = "Active"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server or cluster; `nodes` is 0 where it is no cluster, or the key may not ask."""

    version: str
    nodes: int

    @classmethod
    def of(cls, link: ServerLink) -> Self:
        version = link.version()
        try:
            status = link.call("", lambda client: client.cluster_status())
        except StoreError:
            return cls(version, 0)
        return cls(version, len(getattr(status, "peers", None) or ()))

    @property
    def is_older(self) -> bool:
        """True below the version that winnow is written for."""
        return SINCE > number(self.version) > ()

    @property
    def described(self) -> Reason:
        if self.nodes:
            return Reason("storage.qdrant-cluster", version=self.version, nodes=self.nodes)
        return Reason("storage.qdrant-server", version=self.version)


@dataclass(frozen=True, slots=True)
class CollectionState:
    """The layout of a collection on its nodes.

    `replicas` counts the copies of shards by their state, `lacking` names fields of ours without an index.
    """

    shards: int
    replicas: dict[str, int]
    optimizer: str
    strict: bool
    lacking: tuple[str, ...]

    @classmethod
    def of(cls, link: ServerLink, physical: str) -> Self:
        info = describe(link, physical)
        try:
            lies = link.call(physical, lambda client: client.collection_cluster_info(physical))
        except StoreError:  # not for this key
            shards, replicas = info.config.params.shard_number or 1, Counter[str]()
        else:
            shards = lies.shard_count
            replicas = Counter(shard.state.value for shard in lies.local_shards)
            replicas.update(shard.state.value for shard in lies.remote_shards)
        limits = StrictLimits.of(info)
        return cls(
            shards,
            dict(replicas),
            str(getattr(info.optimizer_status, "value", info.optimizer_status)),
            limits != StrictLimits(),
            tuple(limits.indexed(info).lacking()),
        )

    @property
    def described(self) -> Reason:
        found = Reason("storage.qdrant-shards", shards=self.shards, optimizer=self.optimizer)
        if self.replicas:
            copies = [f"{count} {state}" for state, count in sorted(self.replicas.items())]
            found = Reason("storage.qdrant-copies", state=found, copies=copies)
        return Reason("storage.qdrant-strict", state=found) if self.strict else found

    @property
    def stale(self) -> int:
        """The number of copies that do not answer."""
        return sum(count for state, count in self.replicas.items() if state != _ACTIVE)
