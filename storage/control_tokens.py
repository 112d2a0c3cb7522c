"""Control tokens of chat formats in people's texts, which some servers read as turns of a conversation."""

from __future__ import annotations

import re

# <|im_start|>, its full-width and half-open forms, sentence and turn marks, [INST] and its relatives, marks
# of reasoning, of tools and of code to be filled in.
_CONTROL_TOKEN = re.compile(
    r"[<＜][|｜](?=[^|｜\n]{1,40}[|｜][>＞])|<\|(?=\w{1,40}>)|<(?=\w{1,40}\|>)|\](?=~!?b[\[\]])|\[(?=e~\[)"
    r"|<(?=/?(?:s|bos|eos|pad|unk|mask|(?:start|end)_of_(?:turn|image|audio|text)|(?:unused|extra_id_|reserved_)\d+"
    r"|fim_(?:prefix|middle|suffix|pad)|seed:\w+|role"
    r"|think(?:ing)?|tool_(?:call|response)s?|function_calls?|im_(?:start|end)|(?:system|user|assistant|human))>)"
    r"|<(?=</?SYS>>)|\[(?=/?(?:INST|SYS(?:TEM_PROMPT)?|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS)|THINK|gMASK|sop)\])"
    r"|◁(?=/?think▷)",
    re.IGNORECASE,
)


def harmless(text: str) -> str:
    """A text with its control tokens broken by a space."""
    return _CONTROL_TOKEN.sub(lambda match: match[0] + " ", text)
