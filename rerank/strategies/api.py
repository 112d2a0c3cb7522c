"""Rerank APIs over HTTP: hosted ones, servers of one's own, decision models.

One client serves all; their differences are in `rerank/api/profiles.toml`. Documents are split to the
server's limit and merged by index.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit

import anyio
from anyio import to_thread
from pydantic import Field

from rerank.api.profiles import PROFILES, Profile
from rerank.api.replies import UnusableRerankReplyError, read_usage
from rerank.base import by_score, check_top_k, flagged, unchanged
from rerank.llm.budget import current_meter, estimated_tokens
from rerank.llm.calls import CallCounts
from rerank.options import read_options
from rerank.parts import RerankParts
from rerank.score_memory import ScoreMemory, text_key
from rerank.spec import Value
from storage.chat import Price, sendable
from storage.errors import SettingsError, SpecError
from storage.reasons import Reason
from storage.records import Candidate, Outcome, Ranking, Status, Usage

if TYPE_CHECKING:
    import httpx2

    from rerank.api.client import Address, ApiError

_LIMIT = re.compile(r"maximum allowed batch size (\d+)", re.IGNORECASE)
# Refusals that one document, or the number of them, may be the cause of.
_DIVISIBLE = (400, 413, 422, 500)
_BLAMES_DOCUMENTS = re.compile(
    r"batch|lengths?\b|long|tokens?\b|context|empty|blank|document|passages?\b|texts?\b|input|string|size"
    r"|large|character|exceed|utf|encod|过长|为空|空字符|超出|长度|文档",
    re.IGNORECASE,
)
# Refusals of a field of the request, which name it.
_REFUSED_FIELD = (400, 422)
# This many texts that say different things are not all equally relevant: the server runs the model wrongly.
_ENOUGH, _ALIKE = 3, 1e-9
# This many documents refused alone, and none scored: the request itself is at fault.
_REFUSED_ALONE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """`url`: the server's address, with or without the path; hosted APIs have their own. `instruction`: what
    relevance means, for APIs that take one.
    """

    profile: str = "cohere"
    url: str = ""
    model: str = ""
    instruction: str | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"there is no profile {self.profile!r}. There are: {', '.join(PROFILES)}")

    timeout_s: Annotated[float, Field(ge=0.001)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 2


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """Scores are the server's own, usually 0 to 1."""

    needs = "a rerank API"
    declares: ClassVar[type[object]] = ApiOptions

    name: str
    parts: RerankParts
    address: Address
    profile: Profile
    model: str
    instruction: str | None = None
    given_up: set[str] = field(default_factory=set)  # optional fields that the server refused

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Self:
        from rerank.api.client import Address

        chosen = read_options(ApiOptions, name, options)
        profile = PROFILES[chosen.profile]
        instruction = chosen.instruction or parts.instruction
        if instruction and not profile.instruction:
            able = ", ".join(name for name, one in PROFILES.items() if one.instruction)
            raise SettingsError(
                f"{name}: the API of {chosen.profile} takes no instruction", way_out=f"These do: {able}."
            )
        key = parts.api_key(chosen.profile)
        if profile.url and not chosen.url and not key:
            raise SettingsError(
                f"{name}: the API of {chosen.profile} needs a key",
                way_out=f"Set api_keys.{chosen.profile} under [rerank] in winnow.toml.",
            )
        url = _full(name, chosen.url or profile.url, profile.path)
        address = Address(url, key, chosen.timeout_s, chosen.retries)
        return cls(name, parts, address, profile, chosen.model or profile.model, instruction)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - all are scored
        return -(-n // PROFILES["cohere"].limit)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        from storage.http_client import BoundedClient

        texts = [sendable(candidate.chunk.encoded_text) for candidate in candidates]
        query, most = sendable(query), self.parts.max_reply_bytes
        async with BoundedClient(self.address.url, max_reply_bytes=most, timeout=None) as client:
            question = _ApiQuestion(self, client, query, texts)
            await question.ask()
        outcome = question.outcome()
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        return by_score(self.name, candidates, question.scores, top_k, outcome)


class _ApiQuestion:
    """One question's requests and their scores."""

    def __init__(self, api: Api, client: httpx2.AsyncClient, query: str, texts: Sequence[str]) -> None:
        self.scores: list[float | None] = [None] * len(texts)
        self._api = api
        self._client = client
        self._query = query
        self._texts = texts
        self._meter = current_meter()
        self._counts = CallCounts()
        self._refused_alone = 0
        told = f":{text_key(api.instruction)[:12]}" if api.instruction else ""
        self._memory = ScoreMemory(api.parts.cache, f"api:{api.address.url}:{api.model}{told}", query)

    async def ask(self) -> None:
        """Fill in `scores`: from the cache, then from the API, in as few requests as its limit allows."""
        await self._look_up()
        missing = [i for i, score in enumerate(self.scores) if score is None]
        try:
            await self._batches(missing, self._api.profile.limit)
        finally:
            await self._keep(missing)

    def outcome(self) -> Outcome:
        """The outcome of the stage; texts that the server left out make it `partial`."""
        outcome = self._memory.flagged(self._counts.outcome(self._api.name))
        lost = self.scores.count(None)
        if lost and outcome.status == "ok":
            status: Status = "fallback" if lost == len(self.scores) else "partial"
            reason = Reason("rerank.passages-left-out", count=lost, total=len(self.scores))
            outcome = flagged(outcome, status, reason)
        known = [score for score in self.scores if score is not None and math.isfinite(score)]
        if len(set(self._texts)) >= _ENOUGH and len(known) >= _ENOUGH and max(known) - min(known) < _ALIKE:
            outcome = flagged(outcome, "ok", Reason("rerank.scores-alike", score=float(f"{known[0]:.3g}")))
        return outcome

    @property
    def _hopeless(self) -> bool:
        return not self._counts.judged and self._refused_alone >= _REFUSED_ALONE

    async def _batches(self, group: Sequence[int], size: int, *, in_turn: bool = False) -> None:
        """Ask for the group in parts; one after the other, so that parts alike are not all refused."""
        if in_turn:
            for start in range(0, len(group), size):
                await self._batch(group[start : start + size])
            return
        async with anyio.create_task_group() as tasks:
            for start in range(0, len(group), size):
                tasks.start_soon(self._batch, group[start : start + size])

    async def _batch(self, group: Sequence[int]) -> None:
        from rerank.api.client import ApiError

        sent = self._api.profile.optional - self._api.given_up
        try:
            reply = await self._attempts(group)
            unasked: list[float | None] = [None] * len(group)
            scores = unasked if reply == [] else self._api.profile.scores(reply, len(group))
        except UnusableRerankReplyError as error:
            self._counts.failed_with(str(error), Usage())
        except ApiError as error:
            smaller = 0 if self._hopeless else _smaller(error, len(group))
            refused = {name for name in sent if re.search(rf"\b{name}\b", str(error))}
            if refused and error.status in _REFUSED_FIELD:
                self._api.given_up.update(refused)
                await self._batch(group)
            elif smaller:
                await self._batches(group, smaller, in_turn=error.status != 413)
            else:
                self._refused_alone += len(group) == 1
                self._counts.failed_with(str(error), Usage())
        else:
            self._counts.succeeded(Usage())
            self._counts.judged += sum(score is not None for score in scores)
            for i, score in zip(group, scores, strict=True):
                self.scores[i] = score

    async def _attempts(self, group: Sequence[int]) -> object:
        """The reply, or an empty list where the budget refuses the request."""
        from rerank.api.client import retrying

        texts = [self._texts[i] for i in group]
        attempts = retrying(self._api.address, self._meter.remaining_s)
        reply: object = []
        with anyio.move_on_after(self._meter.remaining_s):
            async for attempt in attempts:
                with attempt:
                    reply = await self._once(texts, retry=attempt.retry_state.attempt_number > 1)
            return reply
        self._counts.failed_with(Reason("rerank.cut-off"), Usage())
        return []

    async def _once(self, texts: Sequence[str], *, retry: bool) -> object:
        from rerank.api.client import posted

        tokens = sum(map(estimated_tokens, texts)) + len(texts) * estimated_tokens(self._query)
        wanted = self._costed(Usage(1, tokens, retries=int(retry)), 1)
        async with self._api.parts.limiter:
            if reason := self._counts.stopped or self._meter.refusal(wanted):
                self._counts.refused(reason)
                return []
            self._meter.reserve(wanted)
            spent = replace(wanted, prompt_tokens=0)
            try:
                api = self._api
                body = api.profile.body(api.model, self._query, texts, api.instruction, api.given_up)
                reply = await posted(self._client, self._api.address, body)
                billed, searches = read_usage(reply)
                spent = self._costed(Usage(1, billed, retries=int(retry)), searches)
                return reply
            finally:
                self._meter.settle(wanted, spent)
                self._counts.usage += spent

    def _costed(self, usage: Usage, searches: int) -> Usage:
        price, published = self._api.parts.prices.get(self._api.model), self._api.profile.price
        if price is None and published is not None and self._api.model == self._api.profile.model:
            price = Price(prompt=published)
        if price is None:
            return usage
        return replace(usage, cost=price.of(replace(usage, calls=max(1, searches))))

    async def _look_up(self) -> None:
        if not self._memory.available:
            return
        keys = [text_key(text) for text in self._texts]
        known = await to_thread.run_sync(self._memory.known, keys)
        self.scores = [known.get(key) for key in keys]
        found = sum(score is not None for score in self.scores)
        self._counts.cached = found
        self._counts.usage += Usage(cached=found)

    async def _keep(self, asked: Sequence[int]) -> None:
        found = {text_key(self._texts[i]): self.scores[i] for i in asked}
        fresh = {key: score for key, score in found.items() if score is not None and math.isfinite(score)}
        if self._memory.available and fresh:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._memory.keep, fresh)


def _smaller(error: ApiError, count: int) -> int:
    """The number of documents to send instead, where one of them or their number may be at fault, or 0."""
    said = str(error).removesuffix("(empty)")
    divisible = error.status == 413 or (error.status in _DIVISIBLE and _BLAMES_DOCUMENTS.search(said))
    if count < 2 or not divisible:
        return 0
    found = _LIMIT.search(said)
    limit = int(found[1]) if found else 0
    return limit if 0 < limit < count else -(-count // 2)


def _full(name: str, url: str, path: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SpecError(
            f"{name}: url={url!r} is not the address of a server" if url else f"{name}: url is missing",
            way_out='Give one, as in api(profile=tei,url="http://localhost:8080").',
        )
    root = parts.path.rstrip("/")
    version = re.search(r"/v\d+\Z", root)
    if root and not version:
        return url
    # "http://host/v1" is where an API begins, not the path of reranking in it
    rest = re.sub(r"\A/v\d+(?=/)", "", path) if version else path
    return urlunsplit((parts.scheme, parts.netloc, root + rest, parts.query, ""))
