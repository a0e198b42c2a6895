"""The HTTP facade: views translate requests to messages and records to JSON, nothing more."""

from quart_trio import QuartTrio

from web import answers, guard, problems, spans, traffic
from web.apidocs import apidocs
from web.asking import MAX_BATCH_BODY
from web.callers import callers
from web.due_times import due_times
from web.events import events
from web.gate import Gate
from web.instances import instances
from web.metrics import metrics
from web.operations import operations
from web.quart_connection import SafeHTTP
from web.roles import check_roles
from web.schedules import schedules
from web.simulate import simulation
from web.site import Site
from web.webhooks import webhooks


def create_app(site: Site | None, *, insecure: bool, gate: Gate | None = None) -> QuartTrio:
    """Return the application for one site, None: only to look at; `insecure` answers any Host name.

    Without a `gate`, no key is asked for.
    """
    gate = gate or Gate()
    app = QuartTrio("callsheet", static_folder=None)
    app.asgi_http_class = SafeHTTP
    app.config.update(
        SITE=site,
        BODY_TIMEOUT=10,  # seconds for a whole body to arrive
        RESPONSE_TIMEOUT=40,  # seconds: more than a simulation may take
        MAX_CONTENT_LENGTH=MAX_BATCH_BODY + 1024,
        PROVIDE_AUTOMATIC_OPTIONS=True,
    )
    spans.install(app, None if site is None else site.tracing)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # or it would redirect, to whatever Host the client named
    if site is not None:
        traffic.install(app, site.traffic)
    problems.install(app)
    guard.install(app, insecure=insecure, gate=gate)
    answers.install(app)
    parts = (schedules, due_times, instances, events, webhooks, operations, callers, simulation, metrics, apidocs)
    for part in parts:
        app.register_blueprint(part)
    check_roles(app)
    if site is not None:  # the documentation looks at the routes alone
        site.engine.listeners += [gate.keyring.take, site.room.take]
    return app
