"""The OpenAPI document is valid, tells of every route, and is what the service does: no answer is undocumented."""

import re

from openapi_spec_validator import OpenAPIV31SpecValidator

from callsheet import bodies
from callsheet.definition import FIELDS, READ_ONLY
from callsheet.models import Schedule
from web.app import create_app
from web.documented import contract_of
from web.openapi import document
from web.roles import OPEN


def test_the_document_is_valid():
    OpenAPIV31SpecValidator(document(create_app(None, insecure=False))).validate()


def test_every_route_is_in_the_document():
    app = create_app(None, insecure=False)
    routes = {
        (method.lower(), re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if getattr(contract_of(app.view_functions[rule.endpoint]), "hidden", False) is False
    }
    paths = document(app)["paths"]

    assert {(method, re.sub(r"{\w+}", "{}", path)) for path, found in paths.items() for method in found} == routes


def test_every_operation_has_a_summary_and_a_name_of_its_own():
    operations = [one for path in document(create_app(None, insecure=False))["paths"].values() for one in path.values()]

    assert all(len(one["summary"]) > 10 for one in operations)
    assert len({one["operationId"] for one in operations}) == len(operations)


def test_a_schedule_has_the_fields_that_its_definition_knows():
    assert set(bodies.ScheduleDocument.__struct_fields__) == {*FIELDS, "id"}
    assert set(bodies.SchedulePatch.__struct_fields__) == {*FIELDS, "id"}
    assert set(Schedule.__struct_fields__) == {*FIELDS, *READ_ONLY}


def test_it_tells_where_keys_and_headers_hold():
    paths = document(create_app(None, insecure=False))["paths"]
    takes = {
        (method, path): {one["name"] for one in found["parameters"] if one["in"] == "header"}
        for path, operations in paths.items()
        for method, found in operations.items()
    }
    waits = {place for place, names in takes.items() if "Prefer" in names}
    unchanging = {("post", "/v1/schedules/preview"), ("post", "/v1/simulate")}

    assert {place for place, names in takes.items() if "Idempotency-Key" not in names} == unchanging | {
        place for place in takes if place[0] == "get"
    }
    assert waits == {
        ("post", "/v1/instances"), ("post", "/v1/instances/{uuid}/rerun"), ("post", "/v1/schedules/{id}/trigger"),
    }  # fmt: skip
    assert all({"200", "202"} <= paths[path][method]["responses"].keys() for method, path in waits)
    for path, operations in paths.items():
        for found in operations.values():
            assert ({"401", "403", "429"} <= found["responses"].keys()) == (path not in OPEN)
            assert (found.get("security") == []) == (path in OPEN)
