"""The rerank specs that a form offers, those that this server refuses included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rerank.spec import PRESETS
from storage.errors import WinnowError
from winnow.app.settings import Settings
from winnow.server.policy import Policy

_ALWAYS = ("none", "late-interaction")


@dataclass(frozen=True, slots=True)
class OfferedSpec:
    """A spec. `preset` is its short name, `own` marks the settings' one, `refused` says why not."""

    spec: str
    preset: str = ""
    own: bool = False
    refused: str = ""


def offered(settings: Settings, policy: Policy, others: Iterable[str] = ()) -> list[OfferedSpec]:
    """List the settings' own spec first, then winnow's presets, `server.specs` and `others`, each once."""
    named = {spec: name for name, spec in PRESETS.items()}
    own = PRESETS.get(settings.rerank.spec, settings.rerank.spec)
    specs = dict.fromkeys([own, *_ALWAYS, *named, *settings.server.specs, *others])
    return [OfferedSpec(spec, named.get(spec, ""), spec == own, _refused(policy, spec)) for spec in specs]


def _refused(policy: Policy, spec: str) -> str:
    try:
        policy.check_rerank(spec)
    except WinnowError as error:
        return str(error)
    return ""
