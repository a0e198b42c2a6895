"""What a view says about itself for the OpenAPI document: what it takes, what it answers, which problems may come."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeVar

from attrs import field, frozen
from msgspec import Meta

from web.asking import DEFAULT_LIMIT, MAX_LIMIT

V = TypeVar("V", bound=Callable[..., Any])

PAGED: Final[dict[str, Any]] = {
    "limit": Annotated[int, Meta(ge=1, le=MAX_LIMIT, extra_json_schema={"default": DEFAULT_LIMIT})],
    "cursor": Annotated[str, Meta(max_length=512, description="the `next` of the page before")],
}


@frozen
class Documented:
    """The contract of one view; types are those of callsheet.models and callsheet.bodies."""

    answers: Mapping[int, Any]  # status -> type, or several; None: empty; a text: its media type
    query: Mapping[str, Any] = field(factory=dict)  # name -> type, or type and what it means
    body: Any = None
    optional: bool = False  # the body may be left out
    merge_patch: bool = False
    changes: bool = True  # something, unless it is a GET: it takes an Idempotency-Key
    waits: bool = False  # it honours `Prefer: wait`
    conditions: tuple[str, ...] = ()  # headers such as If-Match that it honours
    headers: Mapping[str, tuple[int, ...]] = field(factory=dict)  # of answers -> the statuses that have it
    problems: tuple[int, ...] = ()  # beside those that follow from the rest
    hidden: bool = False  # a part of a page, not of the API


def documented(answers: Mapping[int, Any], **rest: Any) -> Callable[[V], V]:
    """Attach a contract to a view; its summary is the docstring. Goes right above `async def`."""

    def attach(view: V) -> V:
        view.contract = Documented(answers, **rest)  # type: ignore[attr-defined]
        return view

    return attach


def contract_of(view: Callable[..., Any]) -> Documented | None:
    """Return the contract of a view, None when it has none."""
    return getattr(view, "contract", None)
