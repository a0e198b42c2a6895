"""A task: its name, its types, its policies, and how one attempt of it is performed."""

from collections.abc import Callable
from datetime import datetime
from math import inf
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from attrs import field, frozen

from callsheet.tasks.codec import Codec, NotJson, fingerprint_of
from callsheet.tasks.out import Out, Outbox, Sink
from callsheet.tasks.retry import Retry
from callsheet.tasks.state import State
from callsheet.tasks.text import shown, type_name
from callsheet.tasks.threads import in_thread

TIn = TypeVar("TIn")
TOut = TypeVar("TOut")


@frozen(eq=False, repr=False)
class Task(Generic[TIn, TOut]):
    """A definition in code, made by `@task`; durations are microseconds, None means no bound."""

    name: str
    doc: str
    origin: str
    body: Callable[..., Any]
    input_type: Any
    output_type: Any
    timeout: int | None
    retries: Retry | None
    idempotent: bool
    max_running: int | None
    state_scope: Literal["schedule", "task"] | None
    threaded: bool
    isolate: Literal["process"] | None
    max_outputs: int
    max_log_bytes: int
    _input: Codec
    _output: Codec
    _state: State | None
    stateful: bool = field(init=False)
    fingerprint: str = field(init=False)

    @stateful.default
    def _is_stateful(self) -> bool:
        return self._state is not None

    @fingerprint.default
    def _hash(self) -> str:
        return fingerprint_of(self._input.schema())

    def __repr__(self) -> str:
        return f"<Task {self.name} ({self.origin})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the body itself, as if it were not decorated."""
        return self.body(*args, **kwargs)

    def input_schema(self) -> dict[str, Any]:
        """Describe the input as a self-contained JSON Schema 2020-12."""
        return self._input.schema()

    def output_schema(self) -> dict[str, Any]:
        """Describe one output as a self-contained JSON Schema 2020-12."""
        return self._output.schema()

    def check_input(self, document: object) -> bytes:
        """Give the canonical JSON of an input, defaults filled in; Invalid lists all that is wrong.

        `document` is made of JSON built-ins; the pointers start at the input.
        """
        return self._input.check(document)

    def decode_input(self, raw: bytes) -> TIn:
        """Read a stored input; Invalid when the code's type no longer takes it."""
        value: TIn = self._input.decode(raw)
        return value

    def encode_output(self, value: TOut) -> bytes:
        """Write one output as JSON; TypeError when it is not of the output type."""
        try:
            return self._output.encode(value)
        except NotJson as error:
            wanted = f"Out[{type_name(self.output_type)}]"
            sentence = f"{self.name}: sent {shown(value)}, which does not fit {wanted}: {error}"
            raise TypeError(sentence) from None

    def decode_output(self, raw: bytes) -> TOut:
        """Read a stored output; Invalid when the code's type no longer takes it."""
        value: TOut = self._output.decode(raw)
        return value

    def out(
        self,
        sink: Sink,
        id: UUID,  # noqa: A002 - its name in `Out`
        attempt: int = 1,
        due_at: datetime | None = None,
        deadline: float = inf,
    ) -> Out[TOut]:
        """Make the second argument for one attempt; `deadline` is a Trio time."""
        box = Outbox(self.name, sink, self.encode_output, self.max_outputs, id, attempt, due_at, deadline)
        return Out(box)

    async def perform(self, _in: TIn, out: Out[TOut], state: bytes | None) -> bytes | None:
        """Run the body once and give its new state as JSON, None for a task that keeps none.

        What the body raises passes out unchanged, whatever it is. `state` None is a first run;
        a state that does not fit the code's types is a TypeError.
        """
        if self._state is None:
            await self._run(self.body() if isinstance(self.body, type) else self.body, _in, out)
            return None
        instance = self._state.load(state)
        await self._run(instance, _in, out)
        return self._state.save(instance)

    async def _run(self, call: Callable[..., Any], _in: TIn, out: Out[TOut]) -> None:
        if self.threaded:
            returned = await in_thread(call, _in, out.for_thread())
        else:
            returned = await call(_in, out)
        if returned is not None:
            await out.send(returned)
