"""What a worker process and the service say to each other: messages in msgpack, each after its length.

One conversation at a time: a Job, then whatever its body says, then how it Ended.
"""

from collections.abc import Iterator
from uuid import UUID

import msgspec

CHUNK = 65_536
_LENGTH = 4


class Job(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Perform one attempt: the task `task` of `module`, which came from `file`; `seconds` are left for it.

    `trace` is the traceparent of its span, if there are spans.
    """

    module: str
    file: str | None
    task: str
    input: bytes
    state: bytes | None
    id: UUID
    attempt: int
    due_at: int | None
    seconds: float
    trace: str | None = None


class AskStack(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Where does the body stand?"""


class Stack(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """There."""

    lines: list[str]


class Output(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The body sent this, as JSON."""

    seq: int
    raw: bytes


class Progress(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The body is that far."""

    done: float | int
    total: float | int | None
    note: str


class Line(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A line for the log; `fields` is a JSON object."""

    level: str
    text: str
    fields: bytes | None


class Ended(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The body is over: its new state, or what it raised and whether that is worth another attempt.

    `clean`: it left no thread and no process behind, so that the worker may take another job.
    """

    state: bytes | None = None
    error: dict[str, str] | None = None
    may_retry: bool = True
    clean: bool = False


Said = Stack | Output | Progress | Line | Ended
_encoder = msgspec.msgpack.Encoder()


def encode(message: Job | AskStack | Said) -> bytes:
    """Put a message into its bytes."""
    raw = _encoder.encode(message)
    return len(raw).to_bytes(_LENGTH, "big") + raw


class Ear:
    """Puts messages together from the pieces that come in."""

    def __init__(self, kinds: object) -> None:
        """`kinds` is the union of the messages that can come."""
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._begun = bytearray()

    def hear(self, piece: bytes) -> Iterator[object]:
        """Take a piece and give the messages that it completes."""
        begun = self._begun
        begun += piece
        while len(begun) >= _LENGTH:
            end = _LENGTH + int.from_bytes(begun[:_LENGTH], "big")
            if len(begun) < end:
                return
            raw = bytes(begun[_LENGTH:end])
            del begun[:end]
            yield self._decoder.decode(raw)
