"""What the pages `compare` and `comparison` say."""

from __future__ import annotations

WORDS = {
    "compare.title": ("Which reranking is worth it?", "哪种重排序值得用？"),
    "compare.lead": (
        "Rerank specs side by side over the questions that were really asked.",
        "用真实提过的问题，把各种重排序规格放在一起比较。",
    ),
    "compare.logged": ("As logged", "日志中的情况"),
    "compare.logged.about": (
        "What each spec took and gave when it was asked, without replays; times are those of whole answers.",
        "每种规格在提问当时的用时和结果；不含重放。用时是整个回答的用时。",
    ),
    "compare.spec": ("Rerank spec", "重排序规格"),
    "compare.answers": ("Answers", "回答"),
    "compare.fallbacks": ("Fallbacks", "退回"),
    "compare.each": ("Cost each", "每次花费"),
    "compare.good": ("Good", "好"),
    "compare.bad": ("Bad", "不好"),
    "compare.judged": ("Judged", "有评分"),
    "compare.none": (
        "Nothing is logged yet, so there is nothing to compare. Ask a few questions first.",
        "日志里还没有回答，没有可以比较的。先提几个问题吧。",
    ),
    "compare.run": ("Replay the log under other specs", "用别的规格重放日志"),
    "compare.run.about": (
        "Every answer's own candidates go through every spec; nothing is logged. Where passages were graded, "
        "quality is measured; elsewhere, how far the specs agree with the log.",
        "每个回答自己的候选段落都走一遍每种规格，什么也不写入日志。有评分的段落可以衡量质量，"
        "其余的看各规格与日志有多一致。",
    ),
    "compare.read-only": (
        "A comparison takes the server's time, which a read-only token may not ask for.",
        "比较要占用服务器，只读令牌不能发起。",
    ),
    "compare.specs": ("Specs", "规格"),
    "compare.others": ("Others, one a line", "其他规格，每行一个"),
    "compare.last": ("Newest answers (at most {most})", "最近的回答数（最多 {most}）"),
    "compare.start": ("Compare", "开始比较"),
    "compare.earlier": ("Comparisons since the server began", "服务器启动以来的比较"),
    "compare.over.one": ("{specs} specs over 1 answer", "{specs} 种规格，1 个回答"),
    "compare.over.many": ("{specs} specs over {n} answers at most", "{specs} 种规格，最多 {n} 个回答"),
    "progress.queued": ("waiting", "等待中"),
    "progress.running": ("running", "进行中"),
    "progress.done": ("done", "完成"),
    "progress.failed": ("failed", "失败"),
    "progress.cancelled": ("cancelled", "已取消"),
    "comparison.title": ("Rerank specs compared", "重排序规格的比较"),
    "comparison.result.one": ("Over 1 logged answer", "1 个日志中的回答"),
    "comparison.result.many": ("Over {n} logged answers", "{n} 个日志中的回答"),
    "comparison.judged.one": ("1 of them judged", "其中 1 个有评分"),
    "comparison.judged.many": ("{n} of them judged", "其中 {n} 个有评分"),
    "comparison.unjudged": (
        "No passage of these answers was graded: there is agreement, and no quality. "
        "Grade some on an answer's page.",
        "这些回答的段落没有评分：只能看一致程度，看不了质量。可以在回答的页面上评分。",
    ),
    "comparison.progress": ("{done} of {total} replays", "已重放 {done} 次，共 {total} 次"),
    "comparison.waiting": ("Waiting for another comparison to end …", "正在等待另一个比较结束……"),
    "comparison.reading": ("Reading the log …", "正在读取日志……"),
    "comparison.cancel": ("Cancel", "取消"),
    "comparison.cancelled": ("This comparison was cancelled.", "这次比较已取消。"),
    "comparison.about": (
        "Overlap and RBO hold each spec's final passages against the logged ones: 1 is the same. Below the "
        "figures: 95 % intervals by bootstrap over the answers; Δ is the paired difference to the first "
        "spec, * where p < 0.05. Times and cost are those of the rerank stages; one that is not in the log "
        "runs without the store: late interaction then encodes every passage anew and takes longer than when "
        "asking.",
        "重合与 RBO 把每种规格的终选段落与日志中的相比：1 表示相同。"
        "数字下方是对回答做自助抽样得到的 95 % 区间；"
        "Δ 是与第一种规格的配对差异，* 表示 p < 0.05。用时和花费只算重排序阶段；"
        "日志中没有的阶段不用向量库，因此后期交互要重新编码每个段落，比提问时慢。",
    ),
    "comparison.plots": ("What it costs", "代价如何"),
    "comparison.quality-latency": ("Quality against latency", "质量与用时"),
    "comparison.quality-cost": ("Quality against cost", "质量与花费"),
    "comparison.agreement-latency": ("Agreement against latency", "一致程度与用时"),
    "comparison.agreement-cost": ("Agreement against cost", "一致程度与花费"),
    "comparison.disputes": ("Where the specs disagree most with the log", "各规格与日志分歧最大之处"),
    "comparison.no-disputes": (
        "Nowhere: every spec keeps the logged passages in the logged order.",
        "没有分歧：每种规格都以相同的顺序留下了日志中的段落。",
    ),
    "comparison.same": ("as logged", "与日志相同"),
    "comparison.new": ("new", "新进"),
    "comparison.grade": ("graded {grade}", "评分 {grade}"),
    "comparison.open": ("Open the answer", "打开回答"),
    "comparison.again": ("Compare again", "再比较一次"),
    "plot.latency": ("median ms of reranking", "重排序用时中位数（毫秒）"),
    "plot.cost": ("cost of 1,000 questions", "1000 个问题的花费"),
}
