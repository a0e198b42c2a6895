"""What a class task keeps between runs: its annotated attributes, as one JSON object."""

import inspect
from copy import deepcopy
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec
from attrs import frozen

from callsheet.errors import Invalid
from callsheet.tasks.codec import MsgspecCodec, NotJson, in_words
from callsheet.tasks.text import last_line, type_name


@frozen(eq=False)
class State:
    """How the attributes `names` of `cls` are loaded into an instance and saved from it."""

    cls: type
    names: tuple[str, ...]
    codec: MsgspecCodec

    def load(self, raw: bytes | None) -> Any:
        """Make an instance that stands where the last run left off; None is a first run.

        Attributes that `raw` does not know keep their defaults, names that the code no longer knows
        are dropped; TypeError when a saved value does not fit the code's type.
        """
        saved = None if raw is None else self._decode(raw)
        instance = self.cls()
        for name in self.names:
            value = getattr(saved, name, msgspec.UNSET)
            if value is msgspec.UNSET:  # copied, or a list in the class would be every run's list
                value = deepcopy(getattr(instance, name, None))
            setattr(instance, name, value)
        return instance

    def save(self, instance: Any) -> bytes:
        """Give the instance's attributes as canonical JSON; TypeError when one has a wrong type."""
        return self.encode({name: getattr(instance, name) for name in self.names})

    def encode(self, values: dict[str, Any]) -> bytes:
        """Give attributes as canonical JSON; TypeError when one has a wrong type."""
        try:
            return self.codec.encode(values)
        except NotJson as error:
            raise TypeError(f"{self.cls.__name__}: its state does not fit: {error}") from None

    def _decode(self, raw: bytes) -> Any:
        try:
            return self.codec.decode(raw)
        except Invalid as error:
            what = f"its saved state does not fit the code: {in_words(error)}"
            raise TypeError(f"{self.cls.__name__}: {what}") from None


def read_state(cls: type) -> State | None:
    """Find what a class task keeps; None when that is nothing, TypeError when it cannot be kept."""
    _check_constructor(cls)
    hints = get_type_hints(cls, include_extras=True)
    kept = {name: type_ for name, type_ in hints.items() if _is_kept(name, type_)}
    if not kept:
        return None
    fields = [(name, type_ | msgspec.UnsetType, msgspec.UNSET) for name, type_ in kept.items()]
    try:
        codec = MsgspecCodec(msgspec.defstruct(cls.__name__, fields))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{cls.__name__}: its state has no JSON form: {last_line(error)}") from None
    state = State(cls, tuple(kept), codec)
    state.encode(_class_defaults(cls, kept))
    return state


def _is_kept(name: str, type_: object) -> bool:
    return not name.startswith("_") and type_ is not ClassVar and get_origin(type_) is not ClassVar


def _check_constructor(cls: type) -> None:
    try:
        inspect.signature(cls).bind()
    except TypeError as error:
        what = f"is made anew for each run, as `{cls.__name__}()`, but that fails: {error}"
        raise TypeError(f"{cls.__name__}: {what}") from None


def _class_defaults(cls: type, kept: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for name, type_ in kept.items():
        if hasattr(cls, name):
            value = getattr(cls, name)
            if not inspect.isdatadescriptor(value):  # a slot: the constructor fills it
                defaults[name] = value
        elif name not in inspect.signature(cls).parameters and type(None) not in get_args(type_):
            wanted = f"`{name}: {type_name(type_)} = …`"
            raise TypeError(f"{cls.__name__}: its attribute {name} needs a default, as {wanted}")
    return defaults
