"""The OpenAPI document, made of the routes, the contracts of their views and the types that they name."""

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from quart import Quart
from werkzeug.routing import Rule

from callsheet import __version__, bodies, models
from web.documented import Documented, contract_of
from web.roles import OPEN

ALWAYS = (421, 422, 500, 503)  # a Host that is not ours, an unknown query name, a fault of ours, no database
KEYED = (401, 403, 429)  # no key or a wrong one, a role that does not suffice, too often
CHANGING = (403, 409, 507)  # a page of another origin, a twin on its way, no room
WITH_BODY = (400, 408, 413, 415)
TRY_AGAIN = (429, 503, 507)
SAFE = ("get", "head")

_COMPONENT = "#/components/schemas/{name}"
_TRIGGERS = (
    models.EveryTrigger, models.CronTrigger, models.AtTrigger, models.AfterTrigger,
    bodies.Every, bodies.Cron, bodies.At, bodies.After,
)  # fmt: skip
_IDS = {
    "/v1/schedules/": ("id", "id of the schedule", {"type": "string", "minLength": 1, "maxLength": 128}),
    "/v1/instances/": ("uuid", "id of the instance", {"type": "string", "format": "uuid"}),
    "/v1/tokens/": ("name", "name of the token", {"type": "string", "minLength": 1}),
    "/v1/tasks/": ("name", "name of the task", {"type": "string", "minLength": 1}),
}
_CONDITIONS = {
    "If-Match": "the ETag that must stand, or *: else 412",
    "If-None-Match": "only *: create, never replace",
}
_HEADERS = {
    "ETag": "the version, as If-Match takes it",
    "Location": "the URI of what was created",
}
_AT_TIMES = {
    "Idempotency-Replayed": "true: this was answered before, and nothing was done this time",
    "Preference-Applied": "the answer waited for the end of the instance, for so many seconds at most",
    "RateLimit": "what is left to the caller, and in how many seconds all of it is again",
    "RateLimit-Policy": "how much the caller may ask at once, and in how many seconds",
}  # headers that answers have when there is a reason
_LIMITED = ("RateLimit", "RateLimit-Policy")
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "with the same key again within 24 hours the change is not made again, but answered as it was",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=10`: answer when the instance is over, after 10 seconds at the latest; 60 at most",
    "schema": {"type": "string"},
}


def document(app: Quart) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of an application."""
    routes = list(_routes(app))
    refs, components = _schemas([contract for _, _, _, contract in routes])
    paths: dict[str, dict[str, Any]] = {}
    for rule, method, view, contract in routes:
        path, _ = _path(rule)
        paths.setdefault(path, {})[method] = _operation(rule, method, view, contract, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "callsheet",
            "version": __version__,
            "summary": "A scheduler service: every due time accounted for.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(_tag(rule) for rule, *_ in routes)],
        "paths": dict(sorted(paths.items())),
        "security": [{}, {"key": []}],  # without a key where none is needed
        "components": {
            "schemas": components,
            "responses": _refusals(paths),
            "headers": {name: _text(text) for name, text in _AT_TIMES.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "an API key"}},
        },
    }


def _routes(app: Quart) -> Iterator[tuple[Rule, str, Callable[..., Any], Documented]]:
    """Yield each route with its view and contract; what has no contract is not in the document."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        contract = contract_of(view)
        if contract is not None and not contract.hidden:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield rule, method.lower(), view, contract


def _schemas(contracts: list[Documented]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type that the contracts name, and the components that these refer to."""
    types: list[Any] = [models.Problem, *_TRIGGERS]
    for contract in contracts:
        types += [kind for given in (contract.body, *contract.answers.values()) for kind in _types(given)]
    types = list({repr(kind): kind for kind in types}.values())
    schemas, components = msgspec.json.schema_components(types, ref_template=_COMPONENT)
    named = {_component_name(name): {**schema, "title": _component_name(name)} for name, schema in components.items()}
    refs = {kind: _renamed(schema) for kind, schema in zip(types, schemas, strict=True)}
    return refs, _renamed(dict(sorted(named.items())))


def _types(given: Any) -> tuple[Any, ...]:
    """Return the types among what a contract gives for an answer."""
    if given is None or isinstance(given, str):
        return ()
    return given if isinstance(given, tuple) else (given,)


def _component_name(name: str) -> str:
    return re.sub(r"^Page_(\w+)_$", r"\1Page", name)


def _renamed(schema: Any) -> Any:
    text = msgspec.json.encode(schema).decode()
    return msgspec.json.decode(re.sub(r"/schemas/Page_(\w+?)_\"", r'/schemas/\1Page"', text))


def _path(rule: Rule) -> tuple[str, list[dict[str, Any]]]:
    """Return the path of a route as OpenAPI writes it, and its parameters."""
    for prefix, (name, description, schema) in _IDS.items():
        if rule.rule.startswith(f"{prefix}<"):
            parameter = {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
            return re.sub(r"<\w+>", f"{{{name}}}", rule.rule), [parameter]
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in sorted(rule.arguments)
    ]


def _tag(rule: Rule) -> str:
    return str(rule.endpoint).partition(".")[0].replace("_", " ")


def _operation(
    rule: Rule, method: str, view: Callable[..., Any], contract: Documented, refs: dict[Any, Any]
) -> dict[str, Any]:
    _, in_path = _path(rule)
    query = [_in_query(name, kind) for name, kind in contract.query.items()]
    conditions = [
        {"name": name, "in": "header", "description": _CONDITIONS[name], "schema": {"type": "string"}}
        for name in contract.conditions
    ]
    found: dict[str, Any] = {
        "operationId": f"{_tag(rule)} {view.__name__}".replace(" ", "_"),
        "tags": [_tag(rule)],
        "summary": (view.__doc__ or "").strip().partition("\n")[0],
        "parameters": in_path + query + conditions + _wishes(method, contract),
    }
    if rule.rule in OPEN:
        found["security"] = []
    if contract.body is not None:
        found["requestBody"] = _body(contract, refs)
    return found | {"responses": _responses(rule, method, contract, refs)}


def _wishes(method: str, contract: Documented) -> list[dict[str, Any]]:
    return [_KEY] * _takes_key(method, contract) + [_PREFER] * contract.waits


def _takes_key(method: str, contract: Documented) -> bool:
    return method not in SAFE and contract.changes


def _in_query(name: str, kind: Any) -> dict[str, Any]:
    kind, description = kind if isinstance(kind, tuple) else (kind, None)
    found = {"name": name, "in": "query", "schema": msgspec.json.schema(kind)}
    return found if description is None else found | {"description": description}


def _body(contract: Documented, refs: dict[Any, Any]) -> dict[str, Any]:
    kinds = ["application/json"] + (["application/merge-patch+json"] if contract.merge_patch else [])
    schema = {"schema": refs[contract.body]}
    return {"required": not contract.optional, "content": dict.fromkeys(kinds, schema)}


def _responses(rule: Rule, method: str, contract: Documented, refs: dict[Any, Any]) -> dict[str, Any]:
    found = {str(status): _answer(status, kind, contract, refs) for status, kind in contract.answers.items()}
    at_times = _at_times(rule, method, contract)
    for answer in found.values() if at_times else ():
        answer.setdefault("headers", {}).update(at_times)
    for status in sorted(_problems(rule, method, contract)):
        found.setdefault(str(status), {"$ref": f"#/components/responses/{_refusal(status)}"})
    return found


def _at_times(rule: Rule, method: str, contract: Documented) -> dict[str, Any]:
    """Return the headers that any answer of this view may have."""
    names = ["Idempotency-Replayed"] * _takes_key(method, contract) + ["Preference-Applied"] * contract.waits
    names += [] if rule.rule in OPEN else _LIMITED
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "")


def _refusals(paths: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the component of each refusal that any of the operations names."""
    operations = [operation for path in paths.values() for operation in path.values()]
    named = {int(status) for one in operations for status, answer in one["responses"].items() if "$ref" in answer}
    return {_refusal(status): _problem(status) for status in sorted(named)}


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": _COMPONENT.format(name="Problem")}
    found = {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {"schema": schema}}}
    if status in TRY_AGAIN:
        wait = {"description": "seconds until it may be tried again", "schema": {"type": "integer"}}
        found["headers"] = {"Retry-After": wait}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": _text("Bearer, and what is wrong with the key")}
    return found


def _problems(rule: Rule, method: str, contract: Documented) -> set[int]:
    """Return the statuses with which a request to this view may be refused."""
    found = {*ALWAYS, *contract.problems}
    found |= set() if rule.rule in OPEN else set(KEYED)
    found |= {404} if rule.arguments else set()
    found |= set(CHANGING) if _takes_key(method, contract) else set()
    found |= set() if contract.body is None else set(WITH_BODY)
    return found | ({412} if contract.conditions else set())


def _answer(status: int, kind: Any, contract: Documented, refs: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(kind, str):
        found["content"] = {kind: {"schema": {"type": "string"}}}
    elif kind is not None:
        schemas = [refs[one] for one in _types(kind)]
        found["content"] = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
    headers = [name for name, statuses in contract.headers.items() if status in statuses]
    if headers:
        found["headers"] = {name: _header(name) for name in headers}
    return found


def _header(name: str) -> dict[str, Any]:
    return {"required": True, **_text(_HEADERS[name])}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
