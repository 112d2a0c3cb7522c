"""The picture of the rank movement, and the sentence above it."""

from __future__ import annotations

WORDS = {
    "moved.lifted.one": (
        "The reranker lifted 1 passage into the top {kept}: it was {was} of {retrieved} in retrieval, "
        "and is now {place}.",
        "重排序把 1 个段落提进了前 {kept}：它在 {retrieved} 个检索结果中原为{was}，现在是{place}。",
    ),
    "moved.lifted.many": (
        "The reranker lifted {n} passages into the top {kept}; the one that rose furthest was {was} "
        "of {retrieved} in retrieval, and is now {place}.",
        "重排序把 {n} 个段落提进了前 {kept}；"
        "其中升得最多的一个在 {retrieved} 个检索结果中原为{was}，现在是{place}。",
    ),
    "moved.reordered": (
        "The reranker kept retrieval's top {kept} and changed their order.",
        "重排序保留了检索的前 {kept}，只改变了它们的顺序。",
    ),
    "moved.unmoved": (
        "The reranker moved nothing: retrieval's top {kept} are the final {kept}, in the same order.",
        "重排序没有改变什么：检索的前 {kept} 就是最终的 {kept} 个，顺序相同。",
    ),
    "moved.not-asked": (
        "Nothing was reranked: these are retrieval's own first {kept} of {retrieved}.",
        "没有重排序：这是检索出的 {retrieved} 个段落中的前 {kept}。",
    ),
    "moved.fell-back": (
        "The reranker could not do its work: retrieval's own first {kept} of {retrieved} stand.",
        "重排序没能完成：沿用检索出的 {retrieved} 个段落中的前 {kept}。",
    ),
    "moved.nothing-kept": (
        "No passage of {retrieved} was good enough to be kept.",
        "{retrieved} 个段落中没有一个足够好，一个也没有留下。",
    ),
    "moved.nothing-found": ("Retrieval found nothing to rank.", "检索没有找到可以排序的段落。"),
    "chart.cited.one": (
        "Without reranking, the answer could not have cited 1 of its passages.",
        "没有重排序，回答引用的段落中有 1 个就用不上。",
    ),
    "chart.cited.many": (
        "Without reranking, the answer could not have cited {n} of its passages.",
        "没有重排序，回答引用的段落中有 {n} 个就用不上。",
    ),
    "stage.retrieval": ("Retrieval", "检索"),
    "stage.final": ("Final", "最终"),
    "stage.dense": ("dense", "向量"),
    "stage.lexical": ("lexical", "词汇"),
    "chart.found": ("{n} found", "找到 {n} 个"),
    "chart.ranked": ("{n} ranked", "排了 {n} 个"),
    "chart.kept": ("{n} kept", "留下 {n} 个"),
    "chart.picture": (
        "Rank movement of {n} passages from retrieval to the answer: a line a passage, the best at the top.",
        "{n} 个段落从检索到回答的名次变化。每条线是一个段落，越高越好。",
    ),
    "chart.hint": (
        "A line is a passage, 1 is best. Point at one to read it, or step through them with the arrow keys.",
        "每条线是一个段落，1 为最佳。指向一条线，或用方向键逐条移动，即可阅读。",
    ),
    "chart.undrawn": ("{n} more are in the table only.", "另有 {n} 个只列在表格中。"),
    "chart.line": ("Passage {name}: {way}", "段落 {name}：{way}"),
    "chart.line.dropped": ("Passage {name}: {way}, then left out", "段落 {name}：{way}，之后被淘汰"),
    "chart.place": ("Place {n} of the final ones", "最终第 {n} 名"),
    "chart.dropped": ("Left out", "被淘汰"),
    "chart.is-cited": ("cited", "被引用"),
    "chart.illegible": ("the encoder cannot read it", "编码器读不懂"),
    "chart.left-out": ("{n} left out", "淘汰 {n} 个"),
    "chart.score": ("Score", "得分"),
    "chart.passage": ("Passage", "段落"),
    "chart.table": ("The same as a table", "以表格显示"),
    "chart.legend": ("dropped at the stage where the line ends", "线在哪个阶段结束，段落就在哪里被淘汰"),
}
