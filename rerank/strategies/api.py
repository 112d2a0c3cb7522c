"""Rerank APIs over HTTP: Cohere, Jina, Voyage, Mixedbread, TEI, vLLM, Infinity and what has Cohere's shape.

One client; the differences are in `api_profiles`. Documents are split to the server's limit and merged by
index.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from ssl import SSLContext
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from rerank.api.profiles import PROFILES, Profile, UnusableReplyError, read_scores, read_usage
from rerank.base import by_score, check_top_k, flagged, unchanged
from rerank.llm.budget import Meter, current_meter, estimated_tokens
from rerank.llm.tally import Tally
from rerank.memory import Memory
from rerank.options import at_least, read_options
from rerank.parts import RerankParts
from rerank.spec import Value
from storage.errors import SettingsError, SpecError
from storage.records import Candidate, Outcome, Ranking, Status, Usage

if TYPE_CHECKING:
    import httpx2

    from rerank.api.client import Address, ApiError

_LIMIT = re.compile(r"maximum allowed batch size (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """`url`: where the server is, with or without the path; hosted APIs have their own."""

    profile: Literal["cohere", "jina", "voyage", "mixedbread", "tei", "vllm", "infinity", "custom"] = "cohere"
    url: str = ""
    model: str = ""
    timeout_s: float = 30.0
    retries: int = 2

    def __post_init__(self) -> None:
        at_least(0, retries=self.retries)
        at_least(0.001, timeout_s=self.timeout_s)


class Api:
    """Scores are the server's own, usually 0 to 1."""

    needs = "a rerank API"

    def __init__(
        self,
        name: str,
        parts: RerankParts,
        address: Address,
        profile: Profile,
        model: str,
        tls: SSLContext | bool,
    ) -> None:
        self.name = name
        self._parts = parts
        self._address = address
        self._profile = profile
        self._model = model
        self._tls = tls

    @classmethod
    def load(cls, parts: RerankParts, name: str, **options: Value) -> Api:
        from rerank.api.client import Address

        chosen = read_options(ApiOptions, name, options)
        profile = PROFILES[chosen.profile]
        key = parts.api_key(chosen.profile)
        if profile.url and not chosen.url and not key:
            raise SettingsError(
                f"{name}: the API of {chosen.profile} needs a key",
                way_out=f"Set api_keys.{chosen.profile} under [rerank] in winnow.toml.",
            )
        url = _full(name, chosen.url or profile.url, profile.path)
        address = Address(url, key, chosen.timeout_s, chosen.retries)
        tls = _certificates() if url.startswith("https") else False
        return cls(name, parts, address, profile, chosen.model or profile.model, tls)

    @staticmethod
    def calls(n: int, k: int) -> int:  # noqa: ARG004 - all are scored
        return -(-n // PROFILES["cohere"].limit)

    async def rerank(self, query: str, candidates: Sequence[Candidate], top_k: int) -> Ranking:
        check_top_k(top_k)
        if not candidates:
            return Ranking((), (Outcome(self.name),))
        import httpx2

        texts = [candidate.chunk.encoded_text for candidate in candidates]
        async with httpx2.AsyncClient(timeout=None, follow_redirects=False, verify=self._tls) as client:
            question = _Question(self._parts, self._address, self._profile, self._model, client, query, texts)
            await question.ask()
        outcome = question.outcome(self.name)
        if outcome.status == "fallback":
            return unchanged(candidates, top_k, outcome)
        return by_score(self.name, candidates, question.scores, top_k, outcome)


class _Question:
    """One question's requests, and what came of them."""

    def __init__(
        self,
        parts: RerankParts,
        address: Address,
        profile: Profile,
        model: str,
        client: httpx2.AsyncClient,
        query: str,
        texts: Sequence[str],
    ) -> None:
        self.scores: list[float | None] = [None] * len(texts)
        self._parts = parts
        self._address = address
        self._profile = profile
        self._model = model
        self._client = client
        self._query = query
        self._texts = texts
        self._meter: Meter = current_meter()
        self._tally = Tally()
        self._memory = Memory(parts.cache, f"api:{address.url}:{model}", query)

    async def ask(self) -> None:
        """Fill in `scores`: from the cache, then from the API, in as few requests as its limit allows."""
        await self._look_up()
        missing = [i for i, score in enumerate(self.scores) if score is None]
        limit = self._profile.limit
        try:
            async with anyio.create_task_group() as tasks:
                for start in range(0, len(missing), limit):
                    tasks.start_soon(self._batch, missing[start : start + limit])
        finally:
            await self._keep(missing)

    def outcome(self, name: str) -> Outcome:
        """How it went; texts that the server left out make it `partial`."""
        outcome = self._memory.told(self._tally.outcome(name))
        lost = sum(score is None for score in self.scores)
        if lost and outcome.status == "ok":
            status: Status = "fallback" if lost == len(self.scores) else "partial"
            outcome = flagged(outcome, status, f"the server left out {lost} of {len(self.scores)} passages")
        return outcome

    async def _batch(self, group: Sequence[int]) -> None:
        from rerank.api.client import ApiError

        try:
            reply = await self._attempts(group)
            scores = read_scores(reply, len(group))
        except UnusableReplyError as error:
            self._tally.failed_with(str(error), Usage())
        except ApiError as error:
            smaller = _smaller(error, len(group))
            if not smaller:
                self._tally.failed_with(str(error), Usage())
                return
            async with anyio.create_task_group() as tasks:
                for start in range(0, len(group), smaller):
                    tasks.start_soon(self._batch, group[start : start + smaller])
        else:
            self._tally.judged += sum(score is not None for score in scores)
            for i, score in zip(group, scores, strict=True):
                self.scores[i] = score

    async def _attempts(self, group: Sequence[int]) -> object:
        """The reply, or an empty list where the budget forbids asking."""
        from rerank.api.client import retrying

        texts = [self._texts[i] for i in group]
        attempts = retrying(self._address, self._meter.remaining_s)
        reply: object = []
        with anyio.move_on_after(self._meter.remaining_s):
            async for attempt in attempts:
                with attempt:
                    reply = await self._once(texts, retry=attempt.retry_state.attempt_number > 1)
            return reply
        self._tally.failed_with("cut off at the deadline", Usage())
        return []

    async def _once(self, texts: Sequence[str], *, retry: bool) -> object:
        from rerank.api.client import posted

        tokens = sum(map(estimated_tokens, texts)) + len(texts) * estimated_tokens(self._query)
        wanted = self._costed(Usage(1, tokens, retries=int(retry)), 1)
        async with self._parts.limiter:
            if reason := self._meter.refusal(wanted):
                self._tally.stopped = reason
                self._tally.not_asked += 1
                return []
            self._meter.reserve(wanted)
            spent = replace(wanted, prompt_tokens=0)
            try:
                reply = await posted(
                    self._client, self._address, self._profile.body(self._model, self._query, texts)
                )
                billed, searches = read_usage(reply)
                spent = self._costed(Usage(1, billed, retries=int(retry)), searches)
                return reply
            finally:
                self._meter.settle(wanted, spent)
                self._tally.usage += spent

    def _costed(self, usage: Usage, searches: int) -> Usage:
        price = self._parts.prices.get(self._model)
        return (
            usage if price is None else replace(usage, cost=price.of(replace(usage, calls=max(1, searches))))
        )

    async def _look_up(self) -> None:
        if not self._memory.there:
            return
        keys = [_sha256(text) for text in self._texts]
        known = await to_thread.run_sync(self._memory.known, keys)
        self.scores = [known.get(key) for key in keys]
        found = sum(score is not None for score in self.scores)
        self._tally.cached = found
        self._tally.usage += Usage(cached=found)

    async def _keep(self, asked: Sequence[int]) -> None:
        fresh = {_sha256(self._texts[i]): score for i in asked if (score := self.scores[i]) is not None}
        if self._memory.there and fresh:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._memory.keep, fresh)


@cache
def _certificates() -> SSLContext:
    """Read once, and only where they are needed: it takes longer than a request."""
    import httpx2

    return httpx2.create_ssl_context()


def _smaller(error: ApiError, count: int) -> int:
    """How many documents to send instead, where the server says that they were too many; otherwise 0."""
    found = _LIMIT.search(str(error))
    too_many = error.status == 413 or (error.status in (400, 422) and "batch" in str(error).lower())
    if count < 2 or not too_many:
        return 0
    limit = int(found[1]) if found else 0
    return limit if 0 < limit < count else -(-count // 2)


def _full(name: str, url: str, path: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise SpecError(
            f"{name}: url={url!r} is no address of a server" if url else f"{name}: url is missing",
            way_out='Give one, as in api(profile=tei,url="http://localhost:8080").',
        )
    return url if parts.path.strip("/") else url.rstrip("/") + path


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
