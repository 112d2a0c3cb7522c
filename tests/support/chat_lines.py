"""Documents whose passages a chat model writes lines of context about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingest.report import IngestReport
from storage.records import Chunk
from tests.support.endpoint import Endpoint, Request, said
from tests.support.endpoint import Response as HttpResponse
from winnow import RAGPipeline, Settings

ENGLISH = "The Heron 4 is a pump for mountain huts, sold since 2019."
CHINESE = "本文介绍青岚净水器二代的安装与保养。"
FILLER = "It is checked again each spring, when the valves have dried and the seals can be felt by hand. "
DOCUMENTS = {
    "heron.md": f"# Manual\n\n{ENGLISH}\n\n"
    + "".join(f"## Part {n}\n\n{FILLER * 9}The part weighs {n} grams.\n\n" for n in range(1, 5)),
    "净水器.md": f"# 手册\n\n{CHINESE}\n\n"
    + "".join(
        f"## 第{n}节\n\n{'滤芯每半年更换一次，更换之后要先冲洗五分钟再饮用。' * 12}\n\n" for n in "一二三"
    ),
    "note.txt": "A note that fits into one passage says everything about itself.\n",
}


def written(request: Request) -> HttpResponse:
    """The reply: a line in two, with the usage of a server that read the whole prompt."""
    prompt = request.body["messages"][0]["content"]
    return said(f"Zephyrine line\non {'青岚' if '净水器' in prompt else 'Heron'}.", usage=(len(prompt), 9))


def settings(folder: Path, endpoint: Endpoint, **ingest: Any) -> Settings:
    llm = {"base_url": endpoint.url, "model": "m", "max_retries": 0}
    return Settings.load(data_dir=folder / "data", llm=llm, ingest={"context": "chat", **ingest})


def ingest(
    folder: Path, endpoint: Endpoint, docs: Path, *, reindex: bool = False, **chosen: Any
) -> IngestReport:
    with RAGPipeline.from_settings(settings(folder, endpoint, **chosen)) as pipeline:
        return pipeline.ingest(docs, reindex=reindex)


def chunks(pipeline: RAGPipeline) -> list[Chunk]:
    return sorted(pipeline.wiring.collection().chunks(), key=lambda chunk: (chunk.source, chunk.ordinal))


def prompts(endpoint: Endpoint) -> list[str]:
    return [request.body["messages"][0]["content"] for request in endpoint.requests]
