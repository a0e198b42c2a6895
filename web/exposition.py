"""Counts as families of Prometheus metrics. Their table is docs/reference/metrics.md; a test compares the two."""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from actors.supervisor import RESTARTED
from callsheet import __version__
from callsheet.figures import Histogram
from callsheet.lifecycle import OMISSIONS, OUTCOMES
from storage.journal.facts import EVENTS
from storage.queries.invariants import KINDS

if TYPE_CHECKING:
    from web.metrics import Snapshot


class Families(Collector):
    """The metrics of one scrape."""

    def __init__(self, snapshot: "Snapshot") -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield each family with its samples."""
        yield from _about(self._snapshot)
        yield from _runs(self._snapshot)
        yield from _engine(self._snapshot)
        yield from _web(self._snapshot)
        yield from ProcessCollector(registry=None).collect()


def render(snapshot: "Snapshot") -> tuple[bytes, str]:
    """Return the text of a scrape and its content type."""
    registry = CollectorRegistry()
    registry.register(Families(snapshot))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _about(snapshot: "Snapshot") -> Iterator[Metric]:
    build = GaugeMetricFamily("callsheet_build_info", "Always 1.", labels=["version", "python", "database"])
    build.add_metric([__version__, platform.python_version(), snapshot.database], 1)
    yield build
    yield GaugeMetricFamily("callsheet_ready", "1 while new work is welcome, as /readyz has it.", snapshot.ready)


def _runs(snapshot: "Snapshot") -> Iterator[Metric]:
    meter = snapshot.meter
    yield _count("callsheet_instances_started", "Instances started.", ("task", "cause"), meter.started)
    ended = {(task, outcome): 0 for task in meter.tasks for outcome in OUTCOMES} | meter.ended
    yield _count("callsheet_instances", "Instances that are over.", ("task", "outcome"), ended)
    yield _spread("callsheet_instance_duration_seconds", "How long instances ran.", meter.durations)
    yield _spread("callsheet_firing_delay_seconds", "From due to started.", meter.lateness)
    omitted = {(fate, reason): 0 for fate, reasons in OMISSIONS.items() for reason in reasons} | meter.omitted
    yield _count("callsheet_due_times_omitted", "Due times that started nothing.", ("fate", "reason"), omitted)
    if snapshot.attendance is not None:
        running: Counter[tuple[str]] = Counter()
        for task, count in snapshot.attendance.running.items():
            running[meter.label(task),] += count
        yield _gauge("callsheet_instances_running", "Instances that run now.", ("task",), running)
        yield GaugeMetricFamily(
            "callsheet_instances_stuck", "Instances that were told to end and do not.", snapshot.attendance.stuck
        )
    if snapshot.queued is not None:
        yield GaugeMetricFamily("callsheet_instances_queued", "Instances that wait for their turn.", snapshot.queued)
    if snapshot.schedules is not None:
        states = {(state,): count for state, count in snapshot.schedules.items()}
        yield _gauge("callsheet_schedules", "Schedules in each state.", ("state",), states)


def _engine(snapshot: "Snapshot") -> Iterator[Metric]:
    meter = snapshot.meter
    by_type = {(kind,): meter.facts[kind] for kind in EVENTS}
    yield _count("callsheet_events", "Events that were committed.", ("type",), by_type)
    depths = {(name,): depth for name, (depth, _) in snapshot.queues.items()}
    rooms = {(name,): room for name, (_, room) in snapshot.queues.items()}
    yield _gauge("callsheet_queue_depth", "Messages that wait for an actor.", ("actor",), depths)
    yield _gauge("callsheet_queue_room", "Messages that may wait for an actor.", ("actor",), rooms)
    restarts = {(name,): meter.restarts[name] for name in RESTARTED}
    yield _count("callsheet_actor_restarts", "Crashes of an actor that was started again.", ("actor",), restarts)
    yield _spread("callsheet_db_transaction_seconds", "How long transactions took.", {"": meter.transactions}, ())
    yield _spread("callsheet_db_batch_commands", "Commands in one transaction.", {"": meter.batches}, ())
    yield CounterMetricFamily("callsheet_db_failures", "Transactions the database did not take.", meter.failures)
    calls = {(kind,): count for kind, count in snapshot.calls.items()}
    yield _gauge("callsheet_db_calls", "Calls of the database that wait or are under way.", ("kind",), calls)
    broken = {(kind,): snapshot.broken.get(kind, 0) for kind in KINDS}
    yield _count("callsheet_invariants_broken", "Things in the database that must not be.", ("kind",), broken)
    yield CounterMetricFamily("callsheet_invariants_checked_rows", "Rows looked at for that.", snapshot.audited)
    if snapshot.messages is not None:
        yield GaugeMetricFamily("callsheet_webhook_messages", "Messages on their way to webhooks.", snapshot.messages)
    yield _spread("callsheet_loop_lag_seconds", "By how much the event loop was late.", {"": snapshot.lags}, ())


def _web(snapshot: "Snapshot") -> Iterator[Metric]:
    labels = ("method", "route", "status")
    yield GaugeMetricFamily("callsheet_http_connections", "Connections that are open.", snapshot.connections)
    yield GaugeMetricFamily("callsheet_http_streams", "Streams that are open.", snapshot.streams)
    yield _count("callsheet_http_requests", "Requests that were answered.", labels, snapshot.requests)
    yield _spread("callsheet_http_request_seconds", "How long answers took.", {"": snapshot.seconds}, ())


def _count(name: str, text: str, labels: Iterable[str], counts: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=list(labels))
    for values, count in counts.items():
        family.add_metric(list(values), count)
    return family


def _gauge(name: str, text: str, labels: Iterable[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for named, value in values.items():
        family.add_metric(list(named), value)
    return family


def _spread(name: str, text: str, found: Mapping[str, Histogram], labels: tuple[str, ...] = ("task",)) -> Metric:
    family = HistogramMetricFamily(name, text, labels=list(labels))
    for value, histogram in found.items():
        family.add_metric([value] if labels else [], histogram.buckets(), histogram.total)
    return family
