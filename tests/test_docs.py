"""The documentation says what the code does: nothing public is missing in the reference.

`python tests/test_docs.py` writes the pictures of docs/reference/lifecycle.md anew.
"""

import ast
import inspect
import re
import sys

from msgspec.structs import fields
from quart_trio import QuartTrio

import callsheet
import callsheet.tasks
import callsheet.testing
from actors.messages import Attendance
from actors.meter import Meter
from callsheet import cli, lifecycle, service
from callsheet.errors import CallsheetError
from callsheet.figures import Histogram
from callsheet.settings import Settings
from callsheet.tasks import Registry
from storage.journal import audit, facts
from tests.pages import ROOT, first_words, read, rows, section
from web import problems, roles
from web.app import create_app
from web.exposition import Families
from web.metrics import Snapshot
from web.openapi import document

REFERENCE = ROOT / "docs" / "reference"
CODE = [path for folder in ("callsheet", "actors", "storage", "web") for path in (ROOT / folder).rglob("*.py")]


# --- the reference is complete ---


def test_every_route_is_documented_and_every_documented_route_exists():
    app: QuartTrio = create_app(None, insecure=False)
    exist = {
        (method, re.sub(r"<[^>]+>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    found = re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) (/[^`]*)`", read("docs/reference/rest.md"), re.MULTILINE)
    documented = {(method, re.sub(r"{[^}]+}", "{}", path)) for method, path in found}

    assert documented == exist


def test_every_field_of_an_answer_is_documented():
    components = document(create_app(None, insecure=False))["components"]["schemas"]
    names = {name for schema in components.values() for name in schema.get("properties", ())}
    pages = "".join(read(f"docs/reference/{page}.md") for page in ("rest", "errors"))
    documented = set(re.findall(r"`([a-z_0-9]+)`", pages)) | set(re.findall(r'"([a-z_]+)"', pages))

    assert names - documented == set()


def test_every_flag_and_variable_is_documented():
    text = read("docs/reference/settings.md")
    serve = cli._parser()._subparsers._group_actions[0].choices["serve"]
    flags = {option for action in serve._actions for option in action.option_strings if option.startswith("--")}
    variables = {f"CALLSHEET_{name.upper()}" for name in (*Settings.__annotations__, "config")}
    table = [row for row in rows(text) if "CALLSHEET_" in " ".join(row)]
    flagged = [row for row in table if "--" in row[0]]

    assert {re.search(r"--[a-z-]+", row[0])[0] for row in flagged} == flags - {"--help"}
    assert {re.search(r"CALLSHEET_[A-Z_]+", row[1])[0] for row in table} == variables
    assert {row[1].strip(" `") for row in table if row not in flagged} == {"CALLSHEET_API_KEY"}  # no secret in a flag
    for row in flagged:  # the variable beside a flag is that flag's own
        flag = re.search(r"--([a-z-]+)", row[0])[1]
        assert f"`CALLSHEET_{flag.upper().replace('-', '_')}`" in row[1]


def test_everything_of_the_test_kit_is_documented():
    text = read("docs/reference/testing.md")
    members = {name for name in dir(callsheet.testing.VirtualEngine) if not name.startswith("_")}
    calls = {word.split("(")[0] for word in first_words(section(text, "`VirtualEngine`"))}

    assert set(first_words(section(text, "What `callsheet.testing` exports"))) == set(callsheet.testing.__all__)
    assert calls == members
    for row in rows(section(text, "Values"))[2:]:
        name = row[0].strip(" `")
        kind = getattr(callsheet.testing, name)
        named = set(re.findall(r"`(\w+)`", row[1]))
        assert named - {"due_at"} == {field.name for field in kind.__attrs_attrs__} - {"due_at"}, name


def test_every_field_of_a_simulation_is_documented():
    source = read("callsheet/virtual/answer.py")
    documented = set(re.findall(r"`([a-z_]+)`", section(read("docs/reference/rest.md"), "Simulation")))
    documented |= {"first_due", "last_due"}

    assert set(re.findall(r'"([a-z_]+)":', source)) - documented == set()


def test_every_metric_is_documented_with_its_type_and_labels():
    idle = Histogram((1.0,))
    snapshot = Snapshot(Meter(), "sqlite", True, Attendance({}, 0), {}, 0, 0, 0, {}, 0, {}, {}, idle, 0, {}, idle)
    told = {
        (family.name + "_total" * (family.type == "counter"), family.type, frozenset(family._labelnames))
        for family in Families(snapshot).collect()
        if family.name.startswith("callsheet_")
    }
    table = [row for row in rows(read("docs/reference/metrics.md")) if "`callsheet_" in row[0]]

    assert {(row[0].strip(" `"), row[1].strip(), frozenset(re.findall(r"`(\w+)`", row[2]))) for row in table} == told


def test_every_exit_code_is_documented():
    codes = {service.STOPPED, service.GAVE_UP, service.REFUSED, 2}
    documented = section(read("docs/reference/settings.md"), "Exit codes")

    assert {int(row[0]) for row in rows(documented) if row[0].strip().isdigit()} == codes


def test_every_event_is_documented():
    told = {
        kind.type for kind in vars(facts).values() if inspect.isclass(kind) and isinstance(vars(kind).get("type"), str)
    }
    for path in CODE:
        told |= set(re.findall(r'(?:KeepEvent|NodeSaid)\(\s*"([a-z_.]+)"', path.read_text()))

    documented = {word for word in first_words(read("docs/events.md")) if "." in word}
    assert documented == told == set(facts.EVENTS)


def test_every_reason_of_an_omission_is_documented():
    table = rows(section(read("docs/reference/lifecycle.md"), "Omissions"))

    assert {
        row[0].strip(" `"): tuple(re.findall(r"`(\w+)`", row[1])) for row in table if "`" in row[0]
    } == lifecycle.OMISSIONS


def test_every_field_of_an_event_is_documented():
    wanted = {kind.type: keywords(kind) for kind in vars(facts).values() if is_told(kind)}
    for path in CODE:
        wanted |= payloads(ast.parse(path.read_text()))
    wanted["history.pruned"] = {field.name for field in fields(facts.Pruned)}
    table = {row[0].strip(" `"): set(re.findall(r"`([a-z_]+)`", row[-1])) for row in rows(read("docs/events.md"))}

    assert {kind: table.get(kind) for kind in wanted} == wanted


def is_told(kind):
    """Tell whether a class is a fact with a type of its own."""
    return inspect.isclass(kind) and isinstance(vars(kind).get("type"), str)


def keywords(kind):
    """Return the names of the fields that a fact tells."""
    return set(re.findall(r"(?<=[(\s])([a-z_]+)=(?!=)", inspect.getsource(kind.data)))


def payloads(tree):
    """Yield each event of a node with the keys of the object that its function makes up."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for kind in re.findall(r"(?:KeepEvent|NodeSaid)\('([a-z_.]+)'", ast.unparse(function)):
                yield kind, {key for node in ast.walk(function) for key in keys_of(node)}


def keys_of(node):
    """Return the keys that a piece of code makes an object of, or adds to one."""
    match node:
        case ast.Dict(keys=keys):
            return [key.value for key in keys]
        case ast.Subscript(slice=ast.Constant(value=key), ctx=ast.Store()):
            return [key]
    return []


def test_every_action_of_the_audit_is_documented():
    assert set(first_words(section(read("docs/reference/access.md"), "Audit"))) == set(audit.ACTIONS)


def test_the_role_of_every_route_is_documented():
    found = {}
    for role, routes in rows(section(read("docs/reference/access.md"), "Roles"))[2:]:
        for method, path in re.findall(r"`([A-Z]+) ([^`]+)`", routes):
            found[method, path.replace("{name}", "<name>")] = role.strip()

    assert found == roles.NEEDED


def test_every_line_of_log_has_an_event_that_is_documented_with_its_fields():
    told = {}
    for path in CODE:
        for call in calls(path):
            words = {keyword.arg for keyword in call.keywords if keyword.arg}
            match ast.unparse(call.func).split("."):
                case ["log" | "requests", "debug" | "info" | "warning" | "error" | "exception" | "critical"]:
                    assert "extra" in words, ast.unparse(call)
                case ["told"] if isinstance(call.args[0], ast.Constant):
                    told[call.args[0].value] = words
                case ["_about"] if len(call.args) > 1:
                    told[call.args[1].value] = words | {"instance", "schedule", "task"}
    table = [row for row in rows(read("docs/reference/logs.md")) if "`" in row[0]]

    assert {row[0].strip(" `"): set(re.findall(r"`(\w+)`", row[2])) for row in table} == told
    assert {row[1].strip() for row in table} <= {"debug", "info", "warning", "error", "critical"}


def calls(path):
    """Return all calls in a file of code."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_every_kind_of_problem_is_documented_with_its_status():
    kinds = {(error.kind, error.status) for error in descendants(CallsheetError) if answers_http(error)}
    kinds |= {(kind, status) for status, kind in problems.KINDS.items()} | {("internal", 500)}
    for path in (ROOT / "web").rglob("*.py"):
        kinds |= {(kind, int(status)) for status, kind in re.findall(r'problem\((\d+), "([a-z-]+)"', path.read_text())}
    table = rows(section(read("docs/reference/errors.md"), "Problems"))

    documented = {(row[0].strip(" `"), int(row[1])) for row in table if row[1].strip().isdigit()}
    assert documented == kinds


def test_every_other_kind_of_error_is_documented():
    text = read("docs/reference/errors.md")

    for error in descendants(CallsheetError):
        if "kind" in vars(error) and not answers_http(error):
            assert f"`{error.kind}`" in text
            assert error.__module__ == "callsheet.errors" or f"`{error.__name__}`" in text


def descendants(kind):
    """Yield all classes below a class."""
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def answers_http(error):
    """Tell whether an error is one that the API answers with: it has a status of its own."""
    return error.status != CallsheetError.status


def test_every_built_in_task_is_documented():
    tasks = Registry()
    tasks.load_builtin(commands=True)

    documented = first_words(section(read("docs/reference/tasks.md"), "Built in"))
    assert set(documented) == set(tasks)


def test_everything_an_author_imports_is_documented():
    text = read("docs/reference/tasks.md")
    options = {name for name in inspect.signature(callsheet.task).parameters if name != "body"}
    members = {name for face in (callsheet.Out, callsheet.SyncOut) for name in dir(face) if not name.startswith("_")}
    fields = {field.name for field in callsheet.Result.__attrs_attrs__}

    assert set(first_words(section(text, "What `callsheet` exports"))) == set(callsheet.__all__)
    assert set(first_words(section(text, "`@task(…)`"))) == options
    named = {word.split("(")[0] for word in first_words(section(text, "`Out` and `SyncOut`"))}
    assert named == members
    assert fields <= set(first_words(section(text, "`run` and `run_sync`")))


def test_every_state_and_fate_is_explained():
    text = read("docs/reference/lifecycle.md")
    wanted = {*lifecycle.INSTANCE_STATES, *lifecycle.SCHEDULE_STATES, *lifecycle.FATES}

    assert wanted <= set(first_words(text))
    assert set(first_words(section(text, "Omissions"))) == set(lifecycle.FATES)
    assert all(f"`{cause}`" in read("docs/reference/rest.md") for cause in lifecycle.CAUSES)


# --- pictures from the tables ---

PICTURES = (
    ("instances", lifecycle.INSTANCE_MOVES, lifecycle.UNFINISHED),
    ("schedules", lifecycle.SCHEDULE_MOVES, ("active",)),
)


def picture(moves, begin):
    """Draw a table of moves as a state diagram, and as a table; `begin` are the states that come first."""
    ends = [state for state, following in moves.items() if not following]
    arrows = [f"    {state} --> {after}" for state, following in moves.items() for after in following]
    lines = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {state}" for state in begin), *arrows]
    lines += [f"    {state} --> [*]" for state in ends] + ["```", "", "| from | to |", "|---|---|"]
    named = [(state, ", ".join(f"`{after}`" for after in following)) for state, following in moves.items()]
    return "\n".join(lines + [f"| `{state}` | {after or 'nothing: it is over'} |" for state, after in named])


def with_pictures(page):
    """Return a page with its pictures as they should be."""
    for mark, moves, begin in PICTURES:
        head, rest = page.split(f"<!-- {mark} -->", 1)
        tail = rest.split("<!-- end -->", 1)[1]
        page = f"{head}<!-- {mark} -->\n\n{picture(moves, begin)}\n\n<!-- end -->{tail}"
    return page


def test_the_pictures_of_states_are_those_of_the_tables():
    page = read("docs/reference/lifecycle.md")

    assert page == with_pictures(page)


if __name__ == "__main__":
    target = REFERENCE / "lifecycle.md"
    target.write_text(with_pictures(target.read_text()))
    sys.stdout.write(f"wrote {target.relative_to(ROOT)}\n")
