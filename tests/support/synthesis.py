"""`winnow synthesize` over documents whose questions are known."""

from __future__ import annotations

import json
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from rerank.training.records import TrainingRecord
from tests.support.rerank_endpoint import Author
from winnow.cli.app import app

# A document's name → its text, and the questions that the model writes for it.
DOCUMENTS = {
    "ferry.txt": (
        "The ferry to the outer islands leaves from pier four at nine o'clock every morning, and bicycles "
        "travel on it free of charge all year.",
        ["When does the ferry leave for the outer islands?", "How often is bread baked with sourdough?"],
    ),
    "bread.txt": (
        "Sourdough bread is baked at two hundred and thirty degrees for forty minutes, the first twenty of "
        "them under a lid so that the crust stays soft.",
        ["How hot is the oven for sourdough bread?", "sourdough bread is baked at two hundred"],
    ),
    "lease.txt": (
        "A tenant may end the lease of an apartment with three months' notice to the end of a month, and the "
        "notice has to be given in writing by letter.",
        [
            "How much notice must a tenant give to end a lease?",
            "how much notice must a tenant give to end the lease?",
        ],
    ),
    "图书馆.txt": (
        "图书馆每天上午九点开门，晚上八点闭馆。读者凭借书证一次最多可以借阅十本图书，借期为三十天，到期前可以续借一次，"
        "每次续借的期限为十五天。逾期归还的图书，每本每天收取一角钱的费用，超过三十天仍未归还的，将暂停借阅权限。"
        "遗失图书的，应当按照定价赔偿。",
        ["图书馆一次可以借多少本书？", "图书逾期不还要交多少钱？"],
    ),
}  # fmt: skip
WRITTEN = {text[:30]: questions for text, questions in DOCUMENTS.values()}
# The lease also answers this one: a false negative that must not be taken.
ALSO = ("How hot is the oven for sourdough bread?", "A tenant may end")


def ask(text: str, n: int) -> str:
    return next(questions[n] for start, questions in WRITTEN.items() if start in text)


def grade(question: str, text: str) -> int:
    if question == ALSO[0] and ALSO[1] in text:
        return 3
    if text.startswith("This answers it"):
        return 3
    return next((3 for start, asked in WRITTEN.items() if start in text and question in asked), 0)


def author() -> Author:
    return Author(grade, ask)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["synthesize", *map(str, words)])


def report(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def counts(records: list[TrainingRecord]) -> dict[str, tuple[int, int]]:
    return {record.query: (len(record.positives), len(record.negatives)) for record in records}
