"""/openapi.json and /docs: the contract for programs, and for people as a page that loads nothing from outside."""

from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from quart import Blueprint, Response, abort, current_app, request

from web.asking import no_query
from web.documented import documented
from web.openapi import document

apidocs = Blueprint("documentation", __name__)

_STATIC = Path(__file__).parent / "static"
FILES: Final = {
    "swagger-ui.css": (_STATIC / "vendor" / "swagger-ui-dist" / "swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": (_STATIC / "vendor" / "swagger-ui-dist" / "swagger-ui-bundle.js", "text/javascript"),
    "docs.js": (_STATIC / "docs.js", "text/javascript"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>callsheet: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}/docs/swagger-ui.css">
</head>
<body>
<noscript>This page needs JavaScript; <a href="{root}/openapi.json">openapi.json</a> does not.</noscript>
<div id="api"></div>
<script src="{root}/docs/swagger-ui-bundle.js"></script>
<script src="{root}/docs/docs.js"></script>
</body>
</html>
"""


@apidocs.get("/openapi.json")
@documented({200: dict[str, Any]})
async def openapi() -> Response:
    """Return this document."""
    no_query()
    made: bytes | None = current_app.config.get("OPENAPI")
    if made is None:
        made = current_app.config["OPENAPI"] = msgspec.json.encode(document(current_app))
    return Response(made, content_type="application/json")


@apidocs.get("/docs")
@documented({200: "text/html"})
async def docs() -> Response:
    """Show the API to people, who can try it there."""
    response = Response(_PAGE.format(root=escape(request.root_path)), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@apidocs.get("/docs/<name>")
@documented({200: "*/*", 304: None}, hidden=True)
async def part(name: str) -> Response:
    """Return a file of that page."""
    if name not in FILES:
        abort(404)
    data, tag = _file(name)
    headers = {"Cache-Control": "no-cache", "ETag": tag}  # asked for again each time, sent again when it changed
    if tag in request.headers.get("If-None-Match", ""):
        return Response(b"", 304, headers)
    return Response(data, headers=headers, content_type=f"{FILES[name][1]}; charset=utf-8")


@cache
def _file(name: str) -> tuple[bytes, str]:
    data = FILES[name][0].read_bytes()
    return data, f'"{sha256(data).hexdigest()[:16]}"'
