"""Documents, and a question that asks about two of them."""

from __future__ import annotations

from storage.records import Answer

DOCUMENTS = {
    "machine.md": "# Kestrel espresso machine\n\nThe Kestrel must be descaled after every 300 cups.\n",
    "queue.md": "# Tallow queue\n\nA message in Tallow may be 4 MiB large at most.\n",
    "fruit.md": "# Fruit\n\nBananas are rich in potassium. Apples keep well in a cool cellar.\n",
    "gym.md": "# 健身中心\n\n泳池长 25 米，有六条泳道。\n",
    "database.md": "# 星图数据库\n\n单条记录最大 64 KB，更大的记录会被拒绝。\n",
}
TWO = "How often must the Kestrel be descaled and how large may a message in Tallow be?"
PARTS = ["How often must the Kestrel be descaled?", "how large may a message in Tallow be?"]
SAME = (
    "The Kestrel must be descaled after every 300 cups, with lukewarm water. "
    "A message in Tallow may be 4 MiB large at most, headers included{}.\n"
)


def sources(answer: Answer) -> list[str]:
    return [candidate.chunk.source.rpartition("/")[2] for candidate in answer.final]


def ranks(answer: Answer) -> list[tuple[str, dict[str, int]]]:
    return [(candidate.id, dict(candidate.ranks)) for candidate in answer.candidates]
