"""Which collection on a server is in use under a name: the one that the alias `NAME@current` points to.

A collection is first made under its plain name and has no alias. A re-index builds `NAME@GENERATION` beside
it and then points the alias there, in one atomic request; from then on the plain one is a leftover. So there
is no moment at which nothing, or two things, are in use, and collections made before aliases need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qdrant_client import QdrantClient, models

from storage.qdrant.server.errors import ServerLink

# No collection's own name has it: see storage.qdrant.contract.checked_name.
_AT = "@"
_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Generations:
    """What a server holds, as collections and their generations."""

    aliases: Mapping[str, str]
    physical: frozenset[str]

    @classmethod
    def of(cls, client: QdrantClient, link: ServerLink) -> Generations:
        """Two requests; with a key that may see them."""
        aliases = read_aliases(client, link)
        listed = link.call("", client.get_collections).collections
        return cls(aliases, frozenset(found.name for found in listed))

    def current(self, name: str) -> str:
        return in_use(name, self.aliases)

    def all(self, name: str) -> list[str]:
        """Every generation of a collection, in use or not."""
        return sorted(found for found in self.physical if split(found)[0] == name)

    def others(self, name: str) -> list[str]:
        """Those that are not in use: older ones, and one that a re-index builds or was building."""
        return [found for found in self.all(name) if found != self.current(name)]


def read_aliases(client: QdrantClient, link: ServerLink) -> dict[str, str]:
    """Every alias on the server, and what it points to."""
    found = link.call("", client.get_aliases).aliases
    return {alias.alias_name: alias.collection_name for alias in found}


def in_use(name: str, aliases: Mapping[str, str]) -> str:
    """The collection on the server that bears this name for winnow."""
    return aliases.get(f"{name}{_AT}{_CURRENT}", name)


def split(physical: str) -> tuple[str, str]:
    """The name and the generation of a collection on the server."""
    name, _, generation = physical.partition(_AT)
    return name, generation


def joined(name: str, generation: str) -> str:
    """The name on the server of a collection's generation."""
    return f"{name}{_AT}{generation}" if generation else name


def pointing(name: str, physical: str, aliases: Mapping[str, str]) -> list[models.AliasOperations]:
    """What makes `physical` the one in use, to be sent as one request."""
    alias = f"{name}{_AT}{_CURRENT}"
    create = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name=physical, alias_name=alias)
    )
    if alias not in aliases:
        return [create]
    return [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)), create]
