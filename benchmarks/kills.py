"""kill -9 in the middle of everything that winnow does: what is left, and whether it is mended.

    python -m benchmarks.kills --kills 20 --seed 1            # of each kind; `make kills` does 200 in all
    python -m benchmarks.kills --kills 2 --only ask --only graph

Each kill hits a process at a random moment of its work. Afterwards `doctor` looks at the folder, repairs what
it finds, the work is run again to its end, and what the folder then holds is compared with what a calm
run leaves. The table is that of docs/reliability.md; a line that is not clean makes the command fail.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.kill_victims import VICTIMS, opened, prepare
from tests.storage.test_database import earlier_schema
from winnow.upkeep import doctor_checks
from winnow.upkeep.integrity import examine
from winnow.upkeep.repair import repair, repair_database

ROOT = Path(__file__).parent.parent
OLD_ANSWERS = 3_000


@dataclass
class Row:
    """The results of the kills of one kind."""

    kills: int = 0
    too_late: int = 0
    green: int = 0
    mended: int = 0
    shown: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Ended:
    """A run: how long its work took, what it said, and whether it was killed before its end."""

    seconds: float
    said: list[list[str]]
    killed: bool


def run(name: str, folder: Path, after: float | None = None) -> Ended:
    """Run a victim in a process group of its own, killed `after` seconds of its work."""
    out = folder / "said.txt"
    with out.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.kill_victims", name, str(folder)],
            cwd=ROOT, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while "ready" not in out.read_text() and process.poll() is None:
            time.sleep(0.005)
        begun = time.monotonic()
        if after is not None:
            try:
                process.wait(after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    if after is None and code:
        raise SystemExit(f"an undisturbed run of {name} ended with {code}")
    words = [line.split() for line in out.read_text().splitlines()]
    return Ended(time.monotonic() - begun, words, code == -signal.SIGKILL)


def start(name: str, folder: Path, base: Path) -> None:
    """Copy the prepared folder; what is to be migrated gets an old log."""
    shutil.copytree(base, folder)
    if name == "migrate":
        path = folder / "data" / "winnow.db"
        path.unlink()
        earlier_schema(path, "0002")
        with closing(sqlite3.connect(path)) as connection:
            columns = [row[1] for row in connection.execute("PRAGMA table_info(answers)")]
            rest = ", ".join(column for column in columns if column not in ("number", "id"))
            connection.executemany(
                f"INSERT INTO answers (number, id, {rest}) SELECT ?, ?, {rest} FROM answers WHERE number = 1",
                [(number, f"old-{number}") for number in range(2, OLD_ANSWERS)],
            )
            connection.commit()


def held(folder: Path) -> tuple[list[str], int, int]:
    """The documents of a folder, its passages, and how many answers that were there at first are."""
    with opened(folder) as rag:
        names = rag.wiring.stores.names()
        documents = sorted(Path(row.source).name for row in rag.wiring.manifest().rows())
        passages = rag.wiring.collection().count() if "default" in names else 0
        return documents, passages, min(rag.log.count(), 3)


def looked_at(folder: Path) -> tuple[bool, bool]:
    """Return True where doctor finds nothing bad, and the same after repairing."""
    with opened(folder) as rag:
        settings = rag.settings
    if _sound(settings):
        return True, True
    repair_database(settings)
    with opened(folder) as rag:
        repair(rag.wiring, examine(rag.wiring, "default"))
    return False, _sound(settings)


def _sound(settings: object) -> bool:
    checks = doctor_checks.run(settings)  # type: ignore[arg-type]  # of `opened`
    return all(check.state != "bad" for check in checks)


def killed_once(
    name: str, base: Path, expected: object, seconds: float, row: Row, dice: random.Random
) -> None:
    """Kill one run, mend, run again, compare."""
    with TemporaryDirectory(prefix="winnow-kill-") as place:
        folder = Path(place) / "here"
        start(name, folder, base)
        ended = run(name, folder, dice.uniform(0.02, 1.0) * seconds)
        if not ended.killed:
            row.too_late += 1
            return
        row.kills += 1
        green, sound = looked_at(folder)
        row.green, row.mended = row.green + green, row.mended + (sound and not green)
        if not sound:
            row.wrong.append("doctor")
        with opened(folder) as rag:
            logged = {answer.id for answer in rag.log.list(10_000)}
        shown = [words[1] for words in ended.said if words[0] == "shown"]
        row.shown += len(shown)
        row.wrong += [f"{one} is not logged" for one in shown if one not in logged]
        if accepted := {words[1] for words in ended.said if words[0] == "accepted"}:
            run("take_up", folder)
            row.wrong += [f"{one} was accepted and is lost" for one in accepted - {*held(folder)[0]}]
        run(name, folder)
        if (found := held(folder)) != expected:
            row.wrong.append(f"holds {found}, not {expected}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=VICTIMS)
    chosen = parser.parse_args()
    dice = random.Random(chosen.seed)
    wrong = False
    print("| killed | kills | doctor green | mended by `--repair` | shown, all logged | wrong |")
    print("|---|---|---|---|---|---|", flush=True)
    with TemporaryDirectory(prefix="winnow-kills-") as place:
        base = Path(place) / "base"
        base.mkdir()
        prepare(base)
        for name in chosen.only or VICTIMS:
            row, calm = Row(), Path(place) / f"calm-{name}"
            start(name, calm, base)
            seconds = run(name, calm).seconds
            expected = held(calm)
            while row.kills < chosen.kills and row.too_late <= 3 * chosen.kills:
                killed_once(name, base, expected, seconds, row, dice)
            found, wrong = "; ".join(row.wrong) or "–", wrong or bool(row.wrong)
            print(
                f"| {name} | {row.kills} | {row.green} | {row.mended} | {row.shown or '–'} | {found} |",
                flush=True,
            )
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
