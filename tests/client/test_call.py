"""One request as a value."""

import typing
from typing import Annotated, Any

import msgspec
import pytest

from callsheet.client.call import call


class Answer(msgspec.Struct):
    """A type that msgspec has not looked into yet; the hash of a part of it is Python's, where signals are heard."""

    count: Annotated[int, "that were found"]


def test_a_ctrl_c_while_an_answer_is_read_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    made, heard = call("GET", "/v1/somewhere", Answer), []

    def struck(_: Any) -> int:
        heard.append("Ctrl-C")
        raise KeyboardInterrupt

    monkeypatch.setattr(typing._AnnotatedAlias, "__hash__", struck)  # type: ignore[attr-defined]
    assert made.read(b'{"count": 3}').count == 3
    assert heard == []  # msgspec has done its looking by now: it would have dropped it
