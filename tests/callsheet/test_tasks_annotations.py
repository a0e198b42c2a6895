from __future__ import annotations

from typing import ClassVar

import pytest
from msgspec import Struct

from callsheet import Out, SyncOut, run_sync, task


class Step(Struct):
    by: int = 1


@task(timeout="1s")
async def add(_in: Step, out: Out[list[int]]) -> None:
    await out.send([_in.by])


@task
class Tally:
    limit: ClassVar[int] = 3
    _cache: dict[str, object] = {}  # noqa: RUF012
    value: int = 0

    def __call__(self, _in: Step, out: SyncOut[int]) -> None:
        self.value += _in.by


def test_annotations_may_be_text():
    assert (add.input_type, add.output_type) == (Step, list[int])
    assert run_sync(add, Step(2)).outputs == [[2]]


def test_the_state_may_be_annotated_in_text():
    assert run_sync(Tally, Step(2), state={"value": 1}).state == {"value": 3}


def test_a_wrong_signature_in_text_is_shown_as_it_stands():
    async def nope(x: Step) -> None: ...

    with pytest.raises(TypeError, match=r"got \(x: Step\)"):
        task(nope)
