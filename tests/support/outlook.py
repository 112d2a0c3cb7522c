"""Writes messages as Outlook saves them: properties in the streams of a compound file (MS-CFB, MS-OXMSG)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

_SECTOR, _FREE, _END, _FAT = 512, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
_TEXT, _BYTES, _NUMBER = 0x001F, 0x0102, 0x0003

Properties = Mapping[int, str | bytes | int]


def message(properties: Properties, attachments: list[Properties] | None = None) -> bytes:
    """A message of properties by their tag, with attachments of theirs."""
    unicode = {0x340D: 0x40000}  # its texts are UTF-16
    tree: dict[str, bytes | dict[str, bytes]] = dict(_streams({**unicode, **properties}, header=32))
    for number, one in enumerate(attachments or ()):
        tree[f"__attach_version1.0_#{number:08X}"] = _streams(one, header=8)
    return _compound(tree)


def _streams(properties: Properties, header: int) -> dict[str, bytes]:
    table, streams = bytes(header), {}
    for tag, value in properties.items():
        if isinstance(value, int):
            table += struct.pack("<HHIq", _NUMBER, tag, 6, value)
            continue
        kind, data = (_TEXT, value.encode("utf-16-le")) if isinstance(value, str) else (_BYTES, value)
        table += struct.pack("<HHII4x", kind, tag, 6, len(data) + 2 * (kind == _TEXT))
        streams[f"__substg1.0_{tag:04X}{kind:04X}"] = data
    return {"__properties_version1.0": table, **streams}


def _compound(tree: Mapping[str, bytes | dict[str, bytes]]) -> bytes:
    entries: list[tuple[str, int, int, int, bytes]] = [
        ("Root Entry", 5, _FREE, 1, b"")
    ]  # name, kind, right, child
    later: list[tuple[int, dict[str, bytes]]] = []
    _append(entries, tree, later)
    for at, inner in later:
        name, kind, right, _, data = entries[at]
        entries[at] = (name, kind, right, len(entries), data)
        _append(entries, inner, later)
    mini, chains, starts = b"", list[int](), list[int]()
    for *_, data in entries:  # each below 4,096 bytes: in pieces of 64 within the root's stream
        count = -(-len(data) // 64)
        starts.append(len(chains) if count else _END)
        chains += [len(chains) + i + 1 for i in range(count - 1)] + ([_END] if count else [])
        mini += data.ljust(64 * count, b"\0")
    fat: list[int] = [_FAT]  # one sector of it: 64 KB are enough
    starts[0] = _chain(fat, mini)
    entries[0] = (*entries[0][:4], mini)
    table = struct.pack(f"<{len(chains)}I", *chains)
    table += struct.pack("<I", _FREE) * (-len(chains) % 128)
    second = _chain(fat, table)
    directory = b"".join(
        name.encode("utf-16-le").ljust(64, b"\0")
        + struct.pack("<HBBIII36xIQ", 2 * len(name) + 2, kind, 1, _FREE, right, child, start, len(data))
        for (name, kind, right, child, data), start in zip(entries, starts, strict=True)
    )
    third = _chain(fat, directory)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH6xIIIIIIIII", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, third, 0, 4096, second, 1, _END, 0)
    head += struct.pack("<109I", 0, *[_FREE] * 108)
    body = b"".join(
        part.ljust(-(-len(part) // _SECTOR) * _SECTOR, b"\0") for part in (mini, table, directory)
    )
    return head + struct.pack("<128I", *fat, *[_FREE] * (128 - len(fat))) + body


def _chain(fat: list[int], data: bytes) -> int:
    """Note the sectors of some data in the table; return the first."""
    first, count = len(fat), -(-len(data) // _SECTOR)
    fat += [first + i + 1 for i in range(count - 1)] + [_END]
    return first


def _append(
    entries: list[tuple[str, int, int, int, bytes]],
    tree: Mapping[str, bytes | dict[str, bytes]],
    later: list[tuple[int, dict[str, bytes]]],
) -> None:
    """Entries of one folder as a list: each is the right neighbour of the one before."""
    for number, (name, content) in enumerate(tree.items(), 1):
        right = len(entries) + 1 if number < len(tree) else _FREE
        if isinstance(content, dict):
            later.append((len(entries), content))
            entries.append((name, 1, right, _FREE, b""))
        else:
            entries.append((name, 2, right, _FREE, content))
