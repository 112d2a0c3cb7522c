"""What the first page says, and what stands around an answer."""

from __future__ import annotations

WORDS = {
    "ask.title": ("What do you want to know?", "想问什么？"),
    "ask.lead": (
        "winnow finds {retrieve} passages in your documents, reranks them to the best {keep}, answers from "
        "these with citations, and shows which passages rose and which fell.",
        "winnow 在你的文档中找出 {retrieve} 个段落，重排序后留下最好的 {keep} 个，"
        "据此回答并注明出处，还让你看到哪些段落升了、哪些落了。",
    ),
    "ask.question": ("Question", "问题"),
    "ask.placeholder": (
        "Ask your documents. Enter sends, Shift+Enter begins a new line.",
        "向文档提问。回车发送，Shift+回车换行。",
    ),
    "ask.send": ("Ask", "提问"),
    "ask.stop": ("Stop", "停止"),
    "ask.collection": ("Collection", "文档库"),
    "ask.rerank": ("Reranking", "重排序方式"),
    "ask.more": ("More: filter, how many", "更多：筛选、数量"),
    "ask.where": ("Filter on the passages' metadata", "按段落的元数据筛选"),
    "ask.retrieve": ("Passages to find", "检索多少段落"),
    "ask.keep": ("Passages to keep", "留下多少段落"),
    "ask.expand": ("Neighbours to join", "连上前后几个段落"),
    "ask.searching": ("Finding and reranking passages …", "正在检索并重排序……"),
    "ask.answering": ("Answering …", "正在回答……"),
    "ask.stopped": ("Stopped. Nothing was logged.", "已停止，没有记入日志。"),
    "ask.broken": (
        "The connection to the server broke. Is winnow still running? Ask again.",
        "与服务器的连接断了。winnow 还在运行吗？请再问一次。",
    ),
    "ask.recent": ("Asked before", "之前问过"),
    "ask.follow": ("Ask a follow-up", "接着问"),
    "ask.follow.placeholder": ("It may lean on this answer.", "可以承接上面的回答。"),
    "ask.empty": ("The collection {name} has no documents yet", "文档库 {name} 里还没有文档"),
    "ask.empty.shell": ("Bring some in from the shell, folders and all:", "在命令行中加入文件或整个文件夹："),
    "ask.empty.upload": ("Or drop files here:", "或者把文件拖到这里："),
    "answer.open": ("Open passage {n}", "打开段落 {n}"),
    "answer.sources": ("Cited passages", "引用的段落"),
    "answer.whole": (
        "cited as a whole; what is most like it is underlined",
        "整段引用；最相近的句子有下划线",
    ),
    "answer.understood": ("Understood as: {question}", "理解为：{question}"),
    "answer.quoted": (
        "Quoted from the passages; no language model was used.",
        "摘自原文段落，没有使用语言模型。",
    ),
    "answer.none": (
        "Nothing among the passages answers this; no language model was used.",
        "段落中没有能回答这个问题的内容；没有使用语言模型。",
    ),
    "answer.by": ("Written by {name} from the passages.", "由 {name} 依据段落写成。"),
    "answer.good": ("A good answer", "回答得好"),
    "answer.bad": ("A bad answer", "回答得不好"),
    "answer.noted": ("Noted.", "已记下。"),
    "answer.replay": ("Replay with another reranker …", "换一种重排序重放……"),
    "answer.stages": ("Stages", "各阶段"),
    "answer.total": ("{time} in all", "共 {time}"),
    "answer.calls.one": ("1 model call", "调用模型 1 次"),
    "answer.calls.many": ("{n} model calls", "调用模型 {n} 次"),
    "answer.tokens": ("{sent} tokens sent, {received} received", "发送 {sent} 个词元，收到 {received} 个"),
    "answer.cost": ("cost {cost}", "费用 {cost}"),
    "answer.cost.unknown": ("cost not known (no price, or no count)", "费用未知（没有价格，或没有计数）"),
    "answer.cost.none": ("no model was paid for", "没有付费调用模型"),
    "answer.unlogged": ("not in the log", "没有记入日志"),
    "stage.generation": ("Answer", "回答"),
    "stage.rewrite": ("Understanding", "理解问题"),
    "stage.expand": ("Joining neighbours", "连接相邻段落"),
}
