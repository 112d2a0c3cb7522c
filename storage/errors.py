"""Every error that winnow raises on purpose.

    WinnowError
    ├── BadInputError               the caller's input cannot be used
    │   ├── SettingsError           winnow.toml, environment or flag
    │   ├── SpecError               a rerank spec that does not parse
    │   └── NotFoundError           no such collection, document, answer or strategy
    ├── MissingDependencyError      an extra that is not installed
    ├── DocumentRefusedError        one document cannot be ingested (the run goes on)
    ├── ModelError                  a model is missing, damaged or does not fit
    ├── StoreError                  Qdrant, embedded or server
    │   ├── StoreLockedError        another process holds the collection
    │   ├── StoreUnavailableError   the server cannot be reached or refuses us
    │   ├── StoreRefusedError       the server does not take this request, and never will as it is set up
    │   ├── StoreCorruptError       the files of a collection cannot be read
    │   └── FingerprintMismatchError  the collection was built by another encoder, chunker or schema
    ├── StageError                  retrieval, rerank or generation failed and was told not to degrade
    │   └── ChatError               the chat model's endpoint failed
    └── LogError                    the SQLite log cannot be read or written

Vendor exceptions are translated where the vendor is called; they never pass a folder boundary.
"""

from storage.secrets import masked


class WinnowError(Exception):
    """Root of the tree: what went wrong, and the way out.

    `str(error)` is the message alone; `way_out` tells the reader what to do about it. Secrets are masked in
    both: whoever shows, logs or sends an error need not think of them.
    """

    code = "error"

    def __init__(self, message: str, *, way_out: str = "") -> None:
        super().__init__(masked(message))
        self.way_out = masked(way_out)


class BadInputError(WinnowError):
    """The caller's input cannot be used."""

    code = "bad-input"


class SettingsError(BadInputError):
    """A value in winnow.toml, the environment or a flag is not valid."""

    code = "settings"


class SpecError(BadInputError):
    """A rerank spec does not parse or names a strategy or option that does not exist."""

    code = "spec"


class NotFoundError(BadInputError):
    """No collection, document, answer or strategy has that name."""

    code = "not-found"


class MissingDependencyError(WinnowError):
    """An optional dependency is not installed; `way_out` gives the install command."""

    code = "missing-dependency"


class DocumentRefusedError(WinnowError):
    """One document cannot be ingested.

    `kind` is the code of the refusal, stable for reports: `ingest.empty`, `encrypted`, `too-large`,
    `undecodable`, `unsupported`, `no-text`, `damaged`, `too-deep` or `timeout`; `why` says it of this file.
    """

    code = "document-refused"

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


class ModelError(WinnowError):
    """A model is missing, damaged, or does not fit the collection."""

    code = "model"


class StoreError(WinnowError):
    """Qdrant, embedded or server, failed."""

    code = "store"


class StoreLockedError(StoreError):
    """Another process holds the embedded collection."""

    code = "store-locked"


class StoreUnavailableError(StoreError):
    """The Qdrant server cannot be reached, timed out or refused the API key, or the disk refuses us."""

    code = "store-unavailable"


class StoreRefusedError(StoreError):
    """The Qdrant server does not take a request: asking again is no help."""

    code = "store-refused"


class StoreCorruptError(StoreError):
    """The files of an embedded collection cannot be read."""

    code = "store-corrupt"


class FingerprintMismatchError(StoreError):
    """The collection was built by another encoder, chunker, lexical setting or schema."""

    code = "fingerprint-mismatch"


class StageError(WinnowError):
    """A stage failed and was told to raise instead of degrading."""

    code = "stage"


class ChatError(StageError):
    """The chat model's endpoint failed, timed out or sent an unusable reply."""

    code = "chat"


class LogError(WinnowError):
    """The log database cannot be read or written."""

    code = "log"
