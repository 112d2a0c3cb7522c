"""The rerank specs that a form offers, those that this server refuses included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rerank.spec import PRESETS, Spec
from retrieval.models.locate import locate
from storage.errors import WinnowError
from winnow.app.settings import Settings
from winnow.server.policy import Policy

_ALWAYS = ("none", "late-interaction")
_ABOUT = {name: f"about.{name}" for name in (*_ALWAYS, "fast", "balanced", "accurate")}


@dataclass(frozen=True, slots=True)
class OfferedSpec:
    """A spec. `preset` is its short name, `own` marks the settings' one, `about` is the key of a line on it.

    `refused` says why a request may not choose it, `missing` why it cannot run on this machine.
    """

    spec: str
    preset: str = ""
    own: bool = False
    refused: str = ""
    missing: str = ""
    about: str = ""


def offered(settings: Settings, policy: Policy, others: Iterable[str] = ()) -> list[OfferedSpec]:
    """List the settings' own spec first, then winnow's presets, `server.specs` and `others`, each once."""
    named = {spec: name for name, spec in PRESETS.items()}
    own = PRESETS.get(settings.rerank.spec, settings.rerank.spec)
    specs = dict.fromkeys([own, *_ALWAYS, *named, *settings.server.specs, *others])
    return [
        OfferedSpec(
            spec,
            named.get(spec, ""),
            spec == own,
            refusal(policy.check_rerank, spec),
            _missing(settings, spec),
            _ABOUT.get(named.get(spec, spec), ""),
        )
        for spec in specs
    ]


def _missing(settings: Settings, spec: str) -> str:
    """Return why a spec's model cannot be loaded here; empty where it can, or where it needs none."""
    try:
        stages = Spec.parse(spec).stages
    except WinnowError:
        return ""
    reads = [dict(stage.options).get("model") for stage in stages if stage.name == "cross-encoder"]
    reads += [None for stage in stages if "read" in dict(stage.options)]
    for model in reads:
        try:
            locate(str(model or settings.rerank.cross_encoder))
        except WinnowError as error:
            return str(error)
    return ""


def refusal(check: Callable[[str], None], choice: str) -> str:
    """Return why a request may not choose something; empty where it may."""
    try:
        check(choice)
    except WinnowError as error:
        return str(error)
    return ""
