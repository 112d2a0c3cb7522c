"""The options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from storage.errors import WinnowError
from winnow.cli.terminal import note, print_json

if TYPE_CHECKING:
    from winnow.app.asked import Asked
    from winnow.app.settings import Settings
    from winnow.app.wiring import Wiring
    from winnow.pipeline import RAGPipeline


def _collections(incomplete: str) -> list[str]:
    """Complete the name of a collection; without any that can be listed, nothing is offered."""
    from winnow.app.wiring import Wiring

    try:
        with Wiring(settings()) as wiring:
            return [name for name in wiring.stores.names() if name.startswith(incomplete)]
    except WinnowError:
        return []


def _specs(incomplete: str) -> list[str]:
    """Complete the last strategy of a rerank spec, or a preset."""
    from rerank.registry import describe
    from rerank.spec import PRESETS

    before, comma, last = incomplete.rpartition(",")
    names = [each.name for each in describe()] + ([] if comma else [*PRESETS])
    return [f"{before}{comma}{name}" for name in names if name.startswith(last)]


AsJson = Annotated[bool, Option("--json", help="Print one JSON value; errors too.")]
Collection = Annotated[
    str | None,
    Option(
        "--collection",
        "-c",
        help="The collection; see `winnow collections list`.",
        autocompletion=_collections,
    ),
]
DataDir = Annotated[
    Path | None, Option("--data-dir", help="Folder of collections and log (default: ./.winnow).")
]
Rerank = Annotated[
    str | None,
    Option(
        "--rerank",
        "-r",
        help="A rerank spec, as in `late-interaction` or `cross-encoder:20,listwise:5`.",
        autocompletion=_specs,
    ),
]
TopKRetrieve = Annotated[
    int | None, Option("--top-k-retrieve", help="Candidates to retrieve (50).", min=1, max=10_000)
]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Options:
    """The options of every command."""

    data_dir: DataDir = None
    as_json: AsJson = False

    def settings(self, **sections: dict[str, Any]) -> Settings:
        """The settings with these options, and any others by section, on top."""
        return settings(self.data_dir, None, **sections)

    def pipeline(self) -> RAGPipeline:
        """The pipeline that the settings describe."""
        from winnow.pipeline import RAGPipeline

        return RAGPipeline.from_settings(self.settings())

    def wiring(self) -> Wiring:
        """The parts that the settings describe."""
        from winnow.app.wiring import Wiring

        return Wiring(self.settings())

    def done(self, value: Any, sentence: str) -> None:
        """Print a result as JSON, or else as a note."""
        if self.as_json:
            print_json(value)
        else:
            note(sentence)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CollectionOptions(Options):
    """The options of a command that works on one collection."""

    collection: Collection = None

    def settings(self, **sections: dict[str, Any]) -> Settings:
        """See `Options.settings`."""
        return settings(self.data_dir, self.collection, **sections)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SearchOptions(CollectionOptions):
    """The wishes for a search; see `winnow.app.asked.Asked`."""

    rerank: Rerank = None
    where: Annotated[
        str | None,
        Option("--where", "-w", help="Only passages whose metadata match: 'lang = \"zh\" and pages >= 2'."),
    ] = None
    top_k_retrieve: TopKRetrieve = None
    top_k_rerank: Annotated[
        int | None, Option("--top-k-rerank", "-k", help="Candidates to keep (5).", min=1, max=1_000)
    ] = None
    min_score: Annotated[
        float | None,
        Option("--min-score", help="Only candidates whose cosine reaches this (-1 to 1).", min=-1, max=1),
    ] = None
    exact: Annotated[
        bool, Option("--exact", help="Scan all vectors instead of using the index: slower, but exact.")
    ] = False
    expand: Annotated[
        int | None,
        Option(
            "--expand", "-e", help="Join this many passages before and after each final one.", min=0, max=10
        ),
    ] = None
    parts: Annotated[
        str | None,
        Option(
            "--parts",
            help="Divide what asks several: `clauses` (usual), `decompose`, `multi-query`, `hyde`, `off`.",
            metavar="HOW",
        ),
    ] = None

    def asked(self, question: str) -> Asked:
        """The question with these wishes."""
        from winnow.app.asked import Asked

        wishes = {name: value for name, value in vars(self).items() if name not in ("data_dir", "as_json")}
        return Asked(question, **wishes)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AskOptions(SearchOptions):
    """The wishes for an answer; see `winnow.app.asked.Asked`."""

    answerer: Annotated[
        str | None,
        Option(
            "--answerer",
            help="`extractive` quotes; `chat` (or `openai`) asks the chat model of the section `llm`.",
            metavar="NAME",
        ),
    ] = None
    follow_up: Annotated[
        str | None,
        Option(
            "--follow-up",
            "-f",
            help="Continue from a logged answer: its id, or `last` (of this collection).",
            metavar="ID",
        ),
    ] = None

    def settings(self, **sections: dict[str, Any]) -> Settings:
        """See `Options.settings`; the answerer is checked there, before anything is opened."""
        return super().settings(answer={"answerer": self.answerer}, **sections)


def settings(
    data_dir: Path | None = None, collection: str | None = None, **sections: dict[str, Any]
) -> Settings:
    """Settings with a command's flags on top; a flag that was not given changes nothing."""
    from winnow.app.settings import Settings  # pydantic would cost `--help` a quarter of its time

    overrides: dict[str, Any] = {"data_dir": data_dir, "collection": collection}
    for section, values in sections.items():
        overrides[section] = {key: value for key, value in values.items() if value is not None} or None
    return Settings.load(**{name: value for name, value in overrides.items() if value is not None})
