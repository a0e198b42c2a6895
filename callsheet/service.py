"""The composition root: opens the database, starts the engine and the web, and stops them in order."""

import gc
import logging
import os
import resource
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import frozen

import callsheet
import callsheet.builtin.fetching  # now, as the next, so that the first fetch does not hold up the loop
import callsheet.wrong_fields  # so that the first mistake of a client does not hold up the loop
from actors.supervisor import Engine, Rules, engine
from callsheet import collector, demo, logs
from callsheet.builtin import addresses
from callsheet.capture import captured
from callsheet.clock import WallClock
from callsheet.console import Console, Opening, unblocked
from callsheet.errors import GaveUp, RefusedToStart
from callsheet.forks import close_in_children
from callsheet.logs import told
from callsheet.node import Node, open_node, report_block
from callsheet.onefile import Echo
from callsheet.retention import Keep
from callsheet.settings import Settings, secret_of
from callsheet.tasks import Registry
from callsheet.watchdog import STOPS, Watchdog
from storage.database import may_exist
from storage.queries.schedules import count_schedules
from storage.queries.tokens import standing_tokens
from web.app import create_app
from web.express import Express
from web.gate import Gate
from web.guard import check_bind
from web.keyring import Keyring
from web.pace import Pace
from web.site import Site, Streams
from web.worker import Limits, listen, url_of
from web.worker import serve as serve_http

if TYPE_CHECKING:
    from callsheet.tracing import Tracing

log = logging.getLogger("callsheet.service")

STOPPED, GAVE_UP, REFUSED = 0, 70, 78
AFTER_DRAIN = 1.7  # seconds after the drain at which the process is ended by force: 2 s are promised
FALL = 2.0  # seconds that the process has to end once a part of the engine has failed for good
LAST_CLEANUP = 1.0  # seconds that cancelled tasks have to clean up at the end
WEB_LIMITS = Limits(graceful_timeout=0.3)
MOST_STREAMS = 1_000  # and never more than half of the connections
MOST_FILES = 8_192  # file descriptors: many shells allow 1,024, which is half of the connections that we can serve


def serve(settings: Settings) -> int:
    """Run the service until it is told to stop; return the exit code."""
    _calm_collector()
    _allow_files()
    code, tracing = STOPPED, None
    with unblocked() as console:
        node = settings.node or socket.gethostname()
        logs.configure(settings.log_format, settings.log_level, access_log=settings.access_log, node=node)
        try:
            tracing = _tracing(settings, node)
            with captured():
                trio.run(_serve, settings, console, tracing)
        except* RefusedToStart as group:
            code = _complain(console, group, REFUSED)
        except* KeyboardInterrupt:
            code = STOPPED  # before the engine was up: there was nothing to drain
        except* GaveUp as group:
            code = _complain(console, group, GAVE_UP)
        except* Exception as group:
            log.critical("the service failed", exc_info=group, extra=told("service.failed"))
            code = _complain(console, group, GAVE_UP)
        if tracing is not None:
            tracing.close()
    return code


def _tracing(settings: Settings, node: str) -> "Tracing | None":
    """Return what makes spans, if they are asked for: nothing of it is imported otherwise."""
    if not settings.otel:
        return None
    try:
        from callsheet.tracing import start_tracing  # noqa: PLC0415 - as it says
    except ImportError as error:
        raise RefusedToStart(f"--otel needs OpenTelemetry ({error}): pip install 'callsheet[otel]'.") from error
    except Exception as error:  # it reads some of its variables while it is imported, and raises what it likes
        raise RefusedToStart(f"--otel: OpenTelemetry refuses its variables: {error}.") from error
    return start_tracing(node)


def _calm_collector() -> None:
    """Look for cycles less often, and never among what is loaded."""
    gc.freeze()
    collector.calm()


def _allow_files() -> None:
    """Raise the soft limit of open files, as far as the hard one lets us: connections count against it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if 0 <= soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _complain(console: Console, error: BaseException, code: int) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    console.complain(f"callsheet: {error}\n")
    return code


@frozen
class Parts:
    """What one service is made of."""

    settings: Settings
    node: Node
    console: Console
    gate: Gate
    tracing: "Tracing | None"


async def _serve(settings: Settings, console: Console, tracing: "Tracing | None") -> None:
    secret = secret_of(settings)
    check_bind(
        settings.host, insecure=settings.insecure_no_auth, keyed=secret is not None or may_exist(settings.database)
    )
    tasks = load_tasks(settings)
    rules = _allowed(settings)
    listeners = await listen(settings.host, settings.port)  # before anything is made on disk
    for listener in listeners:
        close_in_children(listener.socket)
    node = open_node(settings.database, tasks, WallClock(), settings.node, settings.max_running)
    try:
        tokens = await node.door.read(standing_tokens, node.database)
        keyring = Keyring.of(secret, tokens)
        check_bind(settings.host, insecure=settings.insecure_no_auth, keyed=keyring.needed)
        await node.door.write(node.journal.register)
        gate = Gate(keyring, pace_of(settings.rate_limit))
        await _run(Parts(settings, node, console, gate, tracing), rules, listeners)
    finally:
        node.close()


def pace_of(rate: float | None) -> Pace | None:
    """Return the limit for each caller: after a pause it may send the requests of two seconds at once."""
    return None if rate is None else Pace(rate, max(round(2 * rate), 1))


def _allowed(settings: Settings) -> list[addresses.Allow]:
    try:
        return [addresses.parse_allow(text) for text in settings.http_allow]
    except ValueError as error:
        raise RefusedToStart(f"--http-allow (CALLSHEET_HTTP_ALLOW): {error}.") from None


async def _run(parts: Parts, allowed: list[addresses.Allow], listeners: list[trio.SocketListener]) -> None:
    settings = parts.settings
    url = url_of(listeners[0])
    if settings.demo:
        allowed = [*allowed, addresses.parse_allow(f"127.0.0.1/32:{url.rsplit(':', 1)[1]}")]
    addresses.allow(allowed)  # before any actor starts: they inherit it
    quit_web = trio.Event()
    keep = Keep(settings.keep_for, settings.keep_last, settings.keep_events)
    rules = Rules(drain=settings.drain, last_cleanup=LAST_CLEANUP, keep=keep)
    async with trio.open_nursery() as nursery:
        opening = Opening(parts.console.say)
        node = parts.node
        running: Engine = await nursery.start(
            partial(engine, tracing=parts.tracing), node.journal, node.door, node.tasks, node.clock, rules, opening.say
        )
        dog = Watchdog(partial(report_block, running.bus))
        dog.bound_the_end((settings.drain + AFTER_DRAIN, AFTER_DRAIN), partial(_last_words, parts.console))
        nursery.start_soon(_obey_signals, running, parts)
        nursery.start_soon(_fall_with, running, dog, parts.console)
        if settings.demo:
            await demo.add(running.bus, url)  # before anybody can ask: who is answered at all finds all of it
        site = site_of(node, running, dog, settings.max_running, parts.tracing)
        await nursery.start(open_web, site, parts.gate, listeners, quit_web, settings.insecure_no_auth)
        await _greet(parts, running, url)
        opening.over()
        await running.stopped.wait()
        quit_web.set()
        await _leave(parts, running)
        nursery.cancel_scope.deadline = trio.current_time() + WEB_LIMITS.graceful_timeout + 0.1
    if parts.tracing is not None:
        parts.tracing.patience = min(parts.tracing.patience, dog.left())
    dog.close()


def site_of(
    node: Node, running: Engine, dog: Watchdog, max_running: int | None, tracing: "Tracing | None" = None
) -> Site:
    """Return what the web may use of a node and its engine."""
    return Site(
        running,
        node.database,
        node.door,
        node.tasks,
        node.clock,
        node.identity.name,
        dog.lag,
        dog.lags,
        max_running=max_running,
        streams=Streams(min(MOST_STREAMS, WEB_LIMITS.room // 2)),
        tracing=tracing,
    )


async def open_web(
    site: Site,
    gate: Gate,
    listeners: list[trio.SocketListener],
    shutdown: trio.Event,
    insecure: bool = False,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a site until `shutdown`."""
    app = create_app(site, insecure=insecure, gate=gate)
    entry = Express(app, site, gate, insecure=insecure)
    serving = partial(serve_http, entry, listeners=listeners, limits=WEB_LIMITS, live=site.traffic.connections)
    await serving(host="", port=0, shutdown=shutdown, task_status=task_status)


async def _leave(parts: Parts, running: Engine) -> None:
    """Say what is left; what never ends is left behind with the process, for nothing else can stop it."""
    left = running.left.running if running.left else ()
    if not left:
        parts.console.say("stopped; nothing was left running\n")
        return
    names = "".join(f"  /v1/instances/{instance}\n" for instance in left[:20])
    parts.console.say(f"stopped; {len(left)} did not end and will be recorded as lost:\n{names}")
    await trio.sleep(WEB_LIMITS.graceful_timeout)
    parts.node.door.close()
    if parts.tracing is not None:
        parts.tracing.patience = 0.1
        parts.tracing.close()
    parts.console.finish()
    os._exit(STOPPED)


async def _obey_signals(running: Engine, parts: Parts) -> None:
    """Stop at the first SIGTERM or SIGINT, skip the drain at the second; the watchdog sees to it that this ends."""
    echo = Echo()
    with trio.open_signal_receiver(*STOPS) as signals:
        async for _ in signals:
            if echo.heard():
                continue
            if not running.stop.is_set():
                drain = parts.settings.drain
                parts.console.say(f"stopping: running tasks get {drain:g} s to finish; again to cancel them now\n")
                running.stop.set()
            else:
                running.hurry.set()


async def _fall_with(running: Engine, dog: Watchdog, console: Console) -> None:
    """End soon after the engine has failed: a task that never ends must not keep a process that does nothing more."""
    with trio.CancelScope(shield=True):
        await running.falling.wait()
    if not running.stopped.is_set() and running.failure is not None:
        dog.end_process_in(FALL, GAVE_UP, partial(_say_why, console, running.failure))


def _say_why(console: Console, failure: BaseException, _: str | None) -> None:
    reason = GaveUp("The service failed.") if isinstance(failure, trio.Cancelled) else failure
    _complain(console, reason, GAVE_UP)


def _last_words(console: Console, holder: str | None) -> None:
    why = f"instance {holder} held the event loop" if holder else "not everything could be ended and written in time"
    console.say(f"stopped by force: {why}; what still ran will be recorded as lost\n")
    console.finish()


async def _greet(parts: Parts, running: Engine, url: str) -> None:
    """Say where we are, what we found and what is planned."""
    counts = await parts.node.door.read(count_schedules, parts.node.database)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none yet"
    lines = [
        f"callsheet {callsheet.__version__} listens on {url}",
        f"database   {parts.node.database.shown}",
        f"tasks      {', '.join(sorted(parts.node.tasks))}",
        f"schedules  {states}",
    ]
    if parts.gate.keyring.needed:
        lines.append(f"keys       {parts.gate.keyring.told}")
    if running.lost:
        lines.append(f"recovered  {running.lost} that an earlier run left unfinished are recorded as lost")
    parts.console.say("\n".join(lines) + "\n")


def load_tasks(settings: Settings) -> Registry:
    """Return all tasks: built in, installed, and those that --tasks names."""
    tasks = Registry()
    tasks.load_builtin(commands=settings.allow_commands)
    tasks.load_entry_points()
    for spec in settings.tasks:
        tasks.load(spec)
    return tasks
