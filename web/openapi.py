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

ALWAYS = (421, 422, 500, 503)  # a Host that is not ours, an unknown query name, a fault of ours, no database
CHANGING = (403, 501, 507)
WITH_BODY = (400, 408, 413, 415)
TRY_AGAIN = (503, 507)
SAFE = ("get", "head")

_COMPONENT = "#/components/schemas/{name}"
_TRIGGERS = (
    models.EveryTrigger, models.CronTrigger, models.AtTrigger, models.AfterTrigger,
    bodies.Every, bodies.Cron, bodies.At, bodies.After,
)  # fmt: skip
_IDS = {
    "/v1/schedules/": ("id", "id of the schedule", {"type": "string", "minLength": 1, "maxLength": 128}),
    "/v1/instances/": ("uuid", "id of the instance", {"type": "string", "format": "uuid"}),
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
        "components": {"schemas": components, "responses": _refusals(paths)},
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
        "parameters": in_path + query + conditions,
    }
    if contract.body is not None:
        found["requestBody"] = _body(contract, refs)
    return found | {"responses": _responses(method, bool(in_path), contract, refs)}


def _in_query(name: str, kind: Any) -> dict[str, Any]:
    kind, description = kind if isinstance(kind, tuple) else (kind, None)
    found = {"name": name, "in": "query", "schema": msgspec.json.schema(kind)}
    return found if description is None else found | {"description": description}


def _body(contract: Documented, refs: dict[Any, Any]) -> dict[str, Any]:
    kinds = ["application/json"] + (["application/merge-patch+json"] if contract.merge_patch else [])
    schema = {"schema": refs[contract.body]}
    return {"required": not contract.optional, "content": dict.fromkeys(kinds, schema)}


def _responses(method: str, named: bool, contract: Documented, refs: dict[Any, Any]) -> dict[str, Any]:
    found = {str(status): _answer(status, kind, contract, refs) for status, kind in contract.answers.items()}
    for status in sorted(_problems(method, named, contract)):
        found.setdefault(str(status), {"$ref": f"#/components/responses/{_refusal(status)}"})
    return found


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
    return found


def _problems(method: str, named: bool, contract: Documented) -> set[int]:
    """Return the statuses with which a request to this view may be refused."""
    found = {*ALWAYS, *contract.problems}
    found |= {404} if named else set()
    found |= set() if method in SAFE else set(CHANGING)
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
    return {"description": _HEADERS[name], "required": True, "schema": {"type": "string"}}
