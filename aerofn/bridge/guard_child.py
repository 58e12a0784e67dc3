"""The guard's child process: reads SQL texts, answers verdicts. If a text crashes the parser, only this dies.

Each message on standard input and output is its length (4 bytes, little-endian) and that many bytes: a text
in UTF-8, or a verdict as JSON.
"""

import resource
import signal
import struct
import sys

import msgspec

from aerofn.bridge.verdict import Verdict, judge

_MEMORY = 1 << 30


def main() -> None:
    """Judge texts until standard input ends; SIGTERM, which systemd sends to all of a unit, is for the node."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _limit(resource.RLIMIT_AS, _MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(header := source.read(4)) == 4:
        text = source.read(*struct.unpack("<I", header))
        answer = msgspec.json.encode(_judged(text))
        sink.write(struct.pack("<I", len(answer)) + answer)
        sink.flush()


def _judged(text: bytes) -> Verdict:
    try:
        return judge(text.decode())
    except (UnicodeDecodeError, RecursionError, MemoryError, ValueError) as error:
        return Verdict(refusal=f"the statement cannot be checked: {type(error).__name__}", code="42601")


def _limit(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main()
