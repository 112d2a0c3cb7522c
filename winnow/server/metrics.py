"""The counters behind `/metrics`. Labels are routes, statuses, stages and names, never text of users."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.records import Answer, Outcome
from winnow.server.limits import Gate

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server."""

    def __init__(self, gate: Gate) -> None:
        self.registry = to = CollectorRegistry()
        self._requests = Counter(
            "winnow_requests_total", "HTTP requests.", ["route", "method", "status"], registry=to
        )
        self._seconds = Histogram(
            "winnow_request_seconds",
            "Seconds of a request.",
            ["route"],
            buckets=_SECONDS,
            registry=to,
        )
        self._stages = Histogram(
            "winnow_stage_seconds", "Seconds of a stage.", ["stage"], buckets=_SECONDS, registry=to
        )
        self._outcomes = Counter("winnow_stage_outcomes_total", "Outcomes.", ["stage", "status"], registry=to)
        self._answers = Counter("winnow_answers_total", "Answers.", ["answered"], registry=to)
        self._tokens = Counter("winnow_tokens_total", "Tokens of chat models.", ["kind"], registry=to)
        self._cost = Counter("winnow_cost_total", "Cost of model calls with a known price.", registry=to)
        for name, description, read in (
            ("winnow_in_progress", "Questions in progress.", lambda: gate.inside),
            ("winnow_waiting", "Questions waiting for a place.", lambda: gate.waiting),
        ):
            Gauge(name, description, registry=to).set_function(read)

    def answered(self, answer: Answer) -> None:
        """Count an answer and its stages."""
        self._answers.labels(str(answer.answered).lower()).inc()
        self.staged(answer.stages)

    def staged(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of stages and what they spent."""
        for outcome in outcomes:
            self._stages.labels(outcome.name).observe(outcome.ms / 1000)
            self._outcomes.labels(outcome.name, outcome.status).inc()
            self._tokens.labels("prompt").inc(outcome.usage.prompt_tokens)
            self._tokens.labels("completion").inc(outcome.usage.completion_tokens)
            self._cost.inc(outcome.usage.cost or 0)

    def requested(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


class RequestMetrics:
    """Counts every request by its route; a path without a route is `other`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requested(route, _method(scope), status, time.perf_counter() - started)


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH") else "other"
