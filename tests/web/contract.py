"""Every answer that the tests of the API get is held against the OpenAPI document."""

import json
import re
from functools import cache

import jsonschema_rs

from web.app import create_app
from web.openapi import document


@cache
def openapi():
    """Return the OpenAPI document of the application."""
    return document(create_app(None, insecure=False))


@cache
def routes():
    """Return each path of the document as a pattern, those without parameters first."""
    found = [(re.sub(r"{\w+}", "[^/]+", path), path) for path in openapi()["paths"]]
    return [(re.compile(pattern), path) for pattern, path in sorted(found, key=lambda one: "[" in one[0])]


def followed(part):
    """Return a part of the document, or what it refers to if it is an answer that many have."""
    name = part.get("$ref", "")
    return openapi()["components"]["responses"][name.rpartition("/")[2]] if "/responses/" in name else part


@cache
def validator(*way):
    """Return a validator for the content at the end of a way through the document."""
    content = openapi()["paths"]
    for step in way:
        content = followed(content[step])
    schema = content["schema"] | {"components": openapi()["components"]}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


async def keep_the_contract(response):
    """Hold an answer, and the request that was taken, against the OpenAPI document; its routes are all there."""
    request = response.request
    raw = request.url.raw_path.decode().partition("?")[0]
    path = next((path for pattern, path in routes() if pattern.fullmatch(raw)), None)
    operation = openapi()["paths"].get(path, {}).get(request.method.lower())
    if operation is None or raw.endswith("/"):
        return
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    if kind != "text/event-stream":  # which never ends
        await response.aread()
    said = f"{request.method} {path} -> {response.status_code}"
    assert str(response.status_code) in operation["responses"], f"{said} is not documented"
    answer = followed(operation["responses"][str(response.status_code)])
    assert kind in answer.get("content", {"": None}), said
    promised = {name.lower() for name, header in answer.get("headers", {}).items() if header.get("required")}
    assert promised <= {name.lower() for name in response.headers}, said
    place = (path, request.method.lower())
    if kind.endswith("json"):
        validator(*place, "responses", str(response.status_code), "content", kind).validate(response.json())
    if response.is_success:
        known = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        assert set(request.url.params.keys()) <= known, said
        if request.content and "requestBody" in operation:
            validator(*place, "requestBody", "content", "application/json").validate(json.loads(request.content))
