"""Reads what a task is from its annotations, and refuses every other shape in one sentence."""

import inspect
import types
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

from attrs import frozen

from callsheet.tasks.out import Out, SyncOut
from callsheet.tasks.text import type_name


@frozen
class Signature:
    """The types of a body; `threaded` when it is a plain `def`."""

    input_type: Any
    output_type: Any
    threaded: bool


def read_signature(body: Callable[..., Any]) -> Signature:
    """Read a function or a class with `__call__`; TypeError says what was wanted and what came."""
    call, own = _callable_of(body)
    layers = (call, inspect.unwrap(call))  # a decorator of another kind may be in between
    if any(inspect.isasyncgenfunction(f) or inspect.isgeneratorfunction(f) for f in layers):
        raise TypeError(f"{body.__name__}: a task sends by `out.send(value)`, it does not yield")
    parameters = list(inspect.signature(call).parameters.values())[own:]
    threaded = not any(map(inspect.iscoroutinefunction, layers))
    types_ = _types(body, call, parameters, threaded)
    if types_ is None:
        raise TypeError(_wanted(body, call))
    return Signature(*types_, threaded)


def _callable_of(body: Callable[..., Any]) -> tuple[Callable[..., Any], int]:
    """Give the function that runs, and how many of its first parameters are not the task's."""
    if isinstance(body, types.FunctionType):
        return body, 0
    if not isinstance(body, type):
        raise TypeError(f"a task is a function or a class, got {body!r}")
    call = inspect.getattr_static(body, "__call__", None)
    if not isinstance(call, types.FunctionType):
        raise TypeError(_wanted(body, None))
    return call, 1


def _types(
    body: Callable[..., Any],
    call: Callable[..., Any],
    parameters: list[inspect.Parameter],
    threaded: bool,
) -> tuple[Any, Any] | None:
    if len(parameters) != 2 or not all(map(_is_positional, parameters)):
        return None
    hints = _hints(body, call)
    input_name, out_name = (parameter.name for parameter in parameters)
    if input_name not in hints or out_name not in hints:
        return None
    faces = (Out, SyncOut) if threaded else (Out,)
    if get_origin(hints[out_name]) not in faces:
        return None
    return hints[input_name], get_args(hints[out_name])[0]


def _is_positional(parameter: inspect.Parameter) -> bool:
    plain = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return plain and parameter.default is parameter.empty


def _hints(body: Callable[..., Any], call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(call, include_extras=True)
    except Exception as error:  # annotations as text may hold any code
        raise TypeError(f"{body.__name__}: its annotations cannot be read: {error}") from error


def _wanted(body: Callable[..., Any], call: Callable[..., Any] | None) -> str:
    name = body.__name__
    if not isinstance(body, type):
        shape = f"a task is `async def {name}(_in: TInput, out: Out[TOutput])`"
    else:
        shape = "a class task has `async def __call__(self, _in: TInput, out: Out[TOutput])`"
    return f"{name}: {shape}, got {_shape(call) if call else 'no __call__'}"


def _shape(call: Callable[..., Any]) -> str:
    signature = inspect.signature(call)
    plain = [
        parameter.replace(annotation=_Shown(type_name(parameter.annotation)))
        if parameter.annotation is not parameter.empty
        else parameter
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(plain))


class _Shown:
    """An annotation that is shown as just this text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text
