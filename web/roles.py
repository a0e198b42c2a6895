"""Who may do what: the one table of all routes, and the role that each needs.

A route that is missing here stops the start: what nobody thought about must not be open by accident.
"""

from quart import Quart

from callsheet.errors import RefusedToStart

OPEN = {"/livez", "/readyz"}  # for probes, which have no key
NEEDED = {
    ("GET", "/v1/tasks"): "viewer",
    ("GET", "/v1/tasks/<name>"): "viewer",
    ("GET", "/v1/nodes"): "viewer",
    ("GET", "/v1/stats"): "viewer",
    ("GET", "/v1/upcoming"): "viewer",
    ("GET", "/v1/audit"): "viewer",
    ("GET", "/v1/events"): "viewer",
    ("POST", "/v1/simulate"): "viewer",  # it changes nothing
    ("GET", "/metrics"): "viewer",
    ("GET", "/openapi.json"): "viewer",
    ("GET", "/docs"): "viewer",
    ("GET", "/docs/<name>"): "viewer",
    ("GET", "/v1/instances"): "viewer",
    ("GET", "/v1/instances/<name>"): "viewer",
    ("GET", "/v1/instances/<name>/outputs"): "viewer",
    ("GET", "/v1/instances/<name>/log"): "viewer",
    ("GET", "/v1/instances/<name>/stack"): "viewer",
    ("POST", "/v1/instances"): "operator",
    ("POST", "/v1/instances/batch"): "operator",
    ("POST", "/v1/instances/cancel"): "operator",
    ("POST", "/v1/instances/<name>/cancel"): "operator",
    ("POST", "/v1/instances/<name>/rerun"): "operator",
    ("GET", "/v1/schedules"): "viewer",
    ("GET", "/v1/schedules/<name>"): "viewer",
    ("GET", "/v1/schedules/<name>/ledger"): "viewer",
    ("GET", "/v1/schedules/<name>/upcoming"): "viewer",
    ("GET", "/v1/schedules/<name>/explain"): "viewer",
    ("POST", "/v1/schedules/preview"): "viewer",  # it changes nothing
    ("POST", "/v1/schedules/<name>/trigger"): "operator",
    ("POST", "/v1/schedules/<name>/pause"): "operator",
    ("POST", "/v1/schedules/<name>/resume"): "operator",
    ("POST", "/v1/schedules/<name>/skip"): "operator",
    ("DELETE", "/v1/schedules/<name>/skip"): "operator",
    ("POST", "/v1/schedules/<name>/backfill"): "operator",
    ("POST", "/v1/schedules"): "admin",
    ("POST", "/v1/schedules/batch"): "admin",
    ("PUT", "/v1/schedules/<name>"): "admin",
    ("PATCH", "/v1/schedules/<name>"): "admin",
    ("DELETE", "/v1/schedules/<name>"): "admin",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/<name>"): "admin",
    ("GET", "/v1/webhooks"): "admin",
    ("POST", "/v1/webhooks"): "admin",
    ("GET", "/v1/webhooks/<name>"): "admin",
    ("PATCH", "/v1/webhooks/<name>"): "admin",
    ("DELETE", "/v1/webhooks/<name>"): "admin",
    ("POST", "/v1/webhooks/<name>/test"): "admin",
}


def needed_role(method: str, rule: str | None) -> str:
    """Return the role that a request needs; where there is no route, any will do to be told so."""
    return NEEDED.get(("GET" if method == "HEAD" else method, rule or ""), "viewer")


def check_roles(app: Quart) -> None:
    """Raise RefusedToStart when there is a route that the table does not know."""
    for rule in app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        missing = sorted(method for method in methods if (method, rule.rule) not in NEEDED and rule.rule not in OPEN)
        if missing:
            raise RefusedToStart(f"The route {missing[0]} {rule.rule} has no role: enter it in web/roles.py.")
