"""The files for Prometheus and Grafana are well formed, and ask for metrics that exist, by labels that they have."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml

DEPLOY = Path(__file__).parents[1] / "deploy"
METRICS = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
PROCESS = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}


def documented():
    """Return each series of the reference with its labels; tests/test_docs.py compares it with the code."""
    found = {name: set() for name in PROCESS}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", METRICS.read_text(), re.MULTILINE):
        series = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {name + end: set(re.findall(r"`(\w+)`", labels)) | {"le"} for end in series}
    return found


def alerts():
    """Return all alerts."""
    [group] = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    return group["rules"]


def panels():
    """Return all panels of the dashboard."""
    return json.loads((DEPLOY / "grafana.json").read_text())["panels"]


def expressions():
    """Yield every query; Grafana's own variable stands for a time."""
    yield from (alert["expr"] for alert in alerts())
    yield from (target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_query_is_sound_and_asks_for_what_there_is(expression):
    promql_parser.parse(expression)
    series = documented()
    asked = re.findall(r"\b((?:callsheet|process)_\w+|up)\b(?:{([^}]*)})?", expression)

    assert asked
    for name, matchers in asked:
        labels = set(re.findall(r"(\w+)=", matchers or "")) - {"instance", "job"}
        assert name in series
        assert labels <= series[name], name
    every = set().union(*(series[name] for name, _ in asked)) | {"instance"}
    for labels in re.findall(r"by \(([^)]*)\)", expression):
        assert set(labels.split(", ")) <= every


def test_every_alert_says_what_happened_and_where_to_look():
    for alert in alerts():
        assert alert.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert len(alert["annotations"]["summary"]) > 20
        assert len(alert["annotations"]["description"]) > 30


def test_the_panels_of_the_dashboard_lie_beside_each_other():
    taken = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
