"""The frame of every page, and what several of them say."""

from __future__ import annotations

WORDS = {
    "page.ask": ("Ask", "提问"),
    "page.answers": ("Answers", "回答"),
    "page.compare": ("Compare", "对比"),
    "page.collections": ("Collections", "文档库"),
    "page.settings": ("Settings", "设置"),
    "base.skip": ("Skip to the content", "跳到正文"),
    "base.navigation": ("Pages", "页面"),
    "base.language": ("中文", "English"),
    "base.dark": ("Dark", "深色"),
    "base.light": ("Light", "浅色"),
    "base.back": ("Back to the first page", "回到首页"),
    "base.footer": (
        "winnow {version}: retrieve many, keep the best, say why.",
        "winnow {version}：多找，精选，说明理由。",
    ),
    "problem.400": ("That cannot be used", "无法使用"),
    "problem.401": ("A token is needed", "需要令牌"),
    "problem.403": ("That is not allowed", "不允许"),
    "problem.404": ("There is no such thing here", "这里没有"),
    "problem.409": ("It was built with other settings", "它是用别的设置建的"),
    "problem.413": ("That is too large", "太大了"),
    "problem.422": ("That does not have the right form", "格式不对"),
    "problem.429": ("Too much is under way just now", "此刻太忙"),
    "problem.501": ("A part of winnow is not installed", "winnow 有一部分没有安装"),
    "problem.502": ("A chat model or a stage failed", "对话模型或某个阶段出错"),
    "problem.503": ("That cannot be used just now", "暂时不能用"),
    "problem.504": ("It took too long", "用时过长"),
    "problem.other": ("Something went wrong", "出错了"),
    "status.ok": ("as asked", "正常"),
    "status.repaired": ("repaired", "已修补"),
    "status.partial": ("in part", "部分完成"),
    "status.fallback": ("fell back", "已退回"),
}
