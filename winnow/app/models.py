"""The models that the settings name and that each profile needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rerank.spec import Spec
from retrieval.models.hub import DEFAULT_MODEL, MINILM
from storage.errors import BadInputError, ModelError
from storage.secrets import masked
from winnow.app.setting_defaults import AnswerSettings, EncoderSettings, LlmSettings, RerankSettings
from winnow.app.settings import PROFILES, Settings

# Approximate download sizes; of other models only the size on disk is known.
_BYTES = {
    DEFAULT_MODEL: 91_000_000,
    MINILM: 91_000_000,
    "cross-encoder/ms-marco-MiniLM-L12-v2": 73_000_000,
    "BAAI/bge-m3": 2_290_000_000,
    "BAAI/bge-reranker-v2-m3": 2_290_000_000,
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model, its uses and its place; one that is `here` can be used without fetching it.

    `bytes` is its size on this machine, or that of its download if known.
    """

    name: str
    used_as: str
    here: bool
    place: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class _Need:
    """A model and its use; `endpoint` is set if it does not run on this machine."""

    name: str
    used_as: str
    endpoint: str = ""


def models(settings: Settings) -> list[Model]:
    """List every model once; this fetches nothing."""
    uses: dict[tuple[str, str], list[str]] = {}
    for need in _needs(settings):
        uses.setdefault((need.name, need.endpoint), []).append(need.used_as)
    return [
        _located(_Need(name, "", endpoint), ", ".join(dict.fromkeys(used)))
        for (name, endpoint), used in uses.items()
    ]


def wanted(named: Sequence[str], profile: str | None) -> list[str]:
    """Return the models to fetch: the named ones, and those of a profile that are not here yet."""
    if profile is None:
        if not named:
            raise BadInputError(
                "no model is named", way_out="winnow models fetch BAAI/bge-m3, or --profile multilingual."
            )
        return list(named)
    if profile not in PROFILES:
        raise BadInputError(f"there is no profile {profile!r}", way_out=f"There are: {', '.join(PROFILES)}.")
    return [*named, *(need.name for need in _of_profile(profile) if not _located(need, "").here)]


def readable(size: int | None) -> str:
    """Format a size in bytes for people, in powers of ten as the hub shows them."""
    if size is None:
        return "?"
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}" if size < 10 * factor else f"{size / factor:.0f} {unit}"
    return f"{size} B"


def _needs(settings: Settings) -> Iterator[_Need]:
    who = "these settings"
    yield from _of_sections(settings.encoder, settings.rerank, settings.answer, settings.llm, who)
    for profile in PROFILES:
        yield from _of_profile(profile)
    yield _Need(settings.rerank.cross_encoder, "strategy cross-encoder")


def _of_profile(profile: str) -> Iterator[_Need]:
    """Yield the needs of a profile alone, without file and environment."""
    chosen = PROFILES[profile]
    return _of_sections(
        EncoderSettings(**chosen.get("encoder", {})),
        RerankSettings(**chosen.get("rerank", {})),
        AnswerSettings(**chosen.get("answer", {})),
        LlmSettings(),
        f"profile {profile}",
    )


def _of_sections(
    encoder: EncoderSettings, rerank: RerankSettings, answer: AnswerSettings, llm: LlmSettings, who: str
) -> Iterator[_Need]:
    yield _Need(encoder.model, f"encoder of {who}", encoder.base_url if encoder.provider == "openai" else "")
    for stage in Spec.parse(rerank.spec).stages:
        named = dict(stage.options).get("model")
        if stage.name == "cross-encoder" or dict(stage.options).get("read"):
            yield _Need(str(named or rerank.cross_encoder), f"reranker of {who}")
        elif stage.name == "late-interaction" and named:
            yield _Need(str(named), f"reranker of {who}")
    if answer.answerer == "openai":
        yield _Need(llm.name, f"chat model of {who}", llm.place)


def _located(need: _Need, used_as: str) -> Model:
    if need.endpoint:
        return Model(need.name, used_as, here=True, place=f"runs at {masked(need.endpoint)}", bytes=None)
    from retrieval.models.hub import size_on_disk
    from retrieval.models.locate import locate

    try:
        located = locate(need.name)
    except ModelError as error:
        place = error.way_out or str(error)
        return Model(need.name, used_as, here=False, place=place, bytes=_BYTES.get(need.name))
    size = size_on_disk(located.folder)
    return Model(need.name, used_as, here=True, place=f"{located.origin}: {located.folder}", bytes=size)
