"""Strange files for every loader: each is read, or refused with a reason, in time and without a crash.

    python -m benchmarks.fuzz --minutes 10 [--seed 1] [--only .pdf]       # `make fuzz`

Seeds are the files of examples/ and what lies in benchmarks/fuzz_seeds/, the place for what was found. Bytes
are changed, cut, doubled and mixed with those of other files; the parts of a ZIP are changed inside, so that
its checksums hold. The time is shared by the formats; what is neither read nor refused is kept in a folder.
"""

from __future__ import annotations

import argparse
import io
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from ingest.loaders.base import Source
from ingest.loaders.registry import load
from storage.errors import DocumentRefusedError

ROOT = Path(__file__).parent.parent
SEEDS = (ROOT / "examples", Path(__file__).parent / "fuzz_seeds")
# Longer than any of these small files may take.
TOO_LONG_S = 20.0
_TOKENS = (b"\x00", b"\xff\xfe", b"<", b">>", b"&#", b"[[", b"{{", b"9" * 12, b"%PDF-", b"PK\x03\x04")


def seeds(only: str | None) -> list[Path]:
    """The files to begin with, of one suffix or of all."""
    found = [
        path for folder in SEEDS if folder.is_dir() for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    return [path for path in found if only is None or path.suffix == only]


def changed(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """The bytes after one to eight changes."""
    if data.startswith(b"PK\x03\x04") and dice.random() < 0.8:
        return _changed_inside(data, other, dice)
    made = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        at = dice.randrange(len(made) + 1)
        match dice.randrange(6):
            case 0 if made:
                made[at % len(made)] = dice.randrange(256)
            case 1:
                made[at:at] = dice.choice(_TOKENS) * dice.choice((1, 1, 2, 50))
            case 2:
                del made[at : at + dice.choice((1, 10, 1_000))]
            case 3:
                made[at:at] = made[at : at + 500] * dice.choice((1, 20))
            case 4:
                start = dice.randrange(len(other) + 1)
                made[at:at] = other[start : start + dice.choice((10, 1_000))]
            case _:
                made = made[: max(1, at)]
    return bytes(made)


def _changed_inside(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """An archive, one part of which is changed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        members = old.infolist()
        chosen = dice.choice(members)
        for member in members:
            part = old.read(member)
            new.writestr(member.filename, changed(part, other, dice) if member is chosen else part)
    return made.getvalue()


def findings(found: list[Path], seconds: float, dice: random.Random) -> Iterator[tuple[Path, bytes, str]]:
    """Yield each file that is neither read nor refused, with what became of it."""
    end, tried = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        path = dice.choice(found)
        data = changed(path.read_bytes(), dice.choice(found).read_bytes(), dice)
        started = time.monotonic()
        try:
            load(Source(path.name, data))
        except DocumentRefusedError:
            pass
        except Exception as error:  # noqa: BLE001 - what else comes is what is looked for
            yield path, data, repr(error)
        tried += 1
        if (took := time.monotonic() - started) > TOO_LONG_S:
            yield path, data, f"took {took:.0f} s"
    print(f"{tried} files, from {len(found)} seeds")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="a suffix, such as .pdf")
    chosen = parser.parse_args()
    found = seeds(chosen.only)
    kinds = sorted({path.suffix for path in found})
    wrong = 0
    kept = Path(mkdtemp(prefix="winnow-fuzz-"))
    for kind in kinds:
        of_kind = [path for path in found if path.suffix == kind]
        dice = random.Random(f"{chosen.seed}{kind}")
        print(f"{kind or 'no suffix'}: ", end="", flush=True)
        for path, data, why in findings(of_kind, chosen.minutes * 60 / len(kinds), dice):
            wrong += 1
            (kept / f"{wrong}{path.suffix}").write_bytes(data)
            print(f"{kept}/{wrong}{path.suffix}: {why}")
    if wrong:
        raise SystemExit(f"{wrong} findings")


if __name__ == "__main__":
    main()
