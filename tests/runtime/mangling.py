"""Components that are damaged as an attacker would: as bytes, and within sections whose lengths are right again."""

from random import Random

from aerofn.runtime import binary
from aerofn.runtime.binary import Reader, UnsupportedError

HEADER = 8
_MODULE, _COMPONENT = 1, 4


def mangled(wasm: bytes, other: bytes, random: Random) -> bytes:
    """`wasm` after one to three damages, with pieces of `other` perhaps."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if random.random() < 0.25:
            wasm = wasm[:HEADER] + damaged(wasm[HEADER:], other, random)
        else:
            wasm = _within(wasm, other, random)
    return wasm


def damaged(data: bytes, other: bytes, random: Random) -> bytes:
    """Bytes with one damage anywhere."""
    at = random.randrange(len(data)) if data else 0
    kind = random.randrange(7)
    if kind == 0:
        return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([(data[at] if data else 0) ^ 1 << random.randrange(8)]) + data[at + 1 :]
    if kind == 2:
        return data[:at]
    if kind == 3:
        return data[:at] + data[at + random.randrange(1, 9) :]
    if kind == 4:
        return data[:at] + random.randbytes(random.randrange(1, 9)) + data[at:]
    if kind == 5:  # the same number, longer
        return (
            data[:at]
            + bytes([data[at] | 0x80 if data else 0, *[0x80] * random.randrange(10), 0])
            + data[at + 1 :]
        )
    start = random.randrange(len(other))
    return data[:at] + other[start : start + random.randrange(64)] + data[at + random.randrange(64) :]


def _within(wasm: bytes, other: bytes, random: Random) -> bytes:
    """Damage one section, of a module or component within perhaps, or move, repeat or drop it."""
    try:
        sections = list(Reader(wasm, HEADER).sections())
    except UnsupportedError:
        return wasm[:HEADER] + damaged(wasm[HEADER:], other, random)
    if not sections:
        return wasm
    at = random.randrange(len(sections))
    kind, content = sections[at]
    if random.random() < 0.1:
        sections[at : at + 1] = random.choice(
            (
                [],
                [sections[at]] * 2,
                [(random.randrange(13), content)],
                [random.choice(sections), sections[at]],
            )
        )
    elif kind in (_MODULE, _COMPONENT) and content[:4] == b"\0asm":
        sections[at] = kind, _within(content, other, random)
    else:
        sections[at] = kind, damaged(content, other, random)
    return wasm[:HEADER] + b"".join(binary.section(*each) for each in sections)
