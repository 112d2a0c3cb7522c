"""Finds the generation of a collection that is in use: the one that the alias `NAME@current` points to.

A collection is first made under its plain name and has no alias. A re-index builds `NAME@GENERATION` next to
it and then points the alias there, in one atomic request; from then on the plain one is a leftover. So one
is in use at every moment, and collections made before aliases need no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qdrant_client import models

from storage.qdrant.server.errors import AT
from storage.qdrant.server.link import ServerLink

CURRENT = "current"


@dataclass(frozen=True, slots=True)
class Generations:
    """The collections on a server and their generations."""

    aliases: Mapping[str, str]
    physical: frozenset[str]

    @classmethod
    def of(cls, link: ServerLink) -> Generations:
        """List them, by two requests, with a key that may see them."""
        listed = link.call("", lambda client: client.get_collections()).collections
        return cls(read_aliases(link), frozenset(found.name for found in listed))

    def current(self, name: str) -> str:
        return in_use(name, self.aliases)

    def others(self, name: str) -> list[str]:
        """Return those not in use: older ones, and one that a re-index builds or was building."""
        every = (found for found in self.physical if split(found)[0] == name)
        return sorted(found for found in every if found != self.current(name))


def read_aliases(link: ServerLink) -> dict[str, str]:
    """Return every alias on the server with its target."""
    found = link.call("", lambda client: client.get_aliases()).aliases
    return {alias.alias_name: alias.collection_name for alias in found}


def in_use(name: str, aliases: Mapping[str, str]) -> str:
    """Return the collection on the server that has this name for winnow."""
    return aliases.get(f"{name}{AT}{CURRENT}", name)


def split(physical: str) -> tuple[str, str]:
    """Return the name and the generation of a collection on the server."""
    name, _, generation = physical.partition(AT)
    return name, generation


def joined(name: str, generation: str) -> str:
    """Return the name on the server of a collection's generation."""
    return f"{name}{AT}{generation}" if generation else name


def pointing(name: str, physical: str, aliases: Mapping[str, str]) -> list[models.AliasOperations]:
    """Return the operations, for one request, that make `physical` the one in use."""
    alias = f"{name}{AT}{CURRENT}"
    create = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name=physical, alias_name=alias)
    )
    if alias not in aliases:
        return [create]
    return [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)), create]
