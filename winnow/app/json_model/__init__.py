"""The JSON of answers, searches, replays, documents and log entries, the same at every door.

One model per shape, read from the record of the same name: `AnswerJson.of(answer)`. The shell's `--json`, the
HTTP API and `log export` print these; `docs/answer.schema.json` documents them. A field marked deprecated has
another name by now, and is printed under both for one release.
"""
