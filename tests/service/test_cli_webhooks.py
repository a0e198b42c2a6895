"""`callsheet webhook` against the real service and a real receiver."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from callsheet.signing import check_secret, new_secret, signed

QUICK = """
@task
async def quick(_in: None, out: Out[None]) -> None:
    pass
"""


class Receiver(BaseHTTPRequestHandler):
    """Notes on its server what it was told, and answers as that says."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((dict(self.headers.items()), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        """Keep the output of tests clean."""


@pytest.fixture
def receiver():
    """A server that is told of events; `heard` is what came, as (headers, body)."""
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.heard, server.status = [], 204
        server.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cli(launch, run_cli, receiver):
    """A command line for a service that may reach the receiver."""
    return run_cli(launch("--http-allow", f"127.0.0.1:{receiver.server_port}", tasks=QUICK))


def is_signed(message, secret):
    """Tell whether a message carries the signature that a secret gives it."""
    headers, body = message
    ours = signed(secret, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    return ours["webhook-signature"] == headers["webhook-signature"]


def test_a_webhook_is_told_of_the_events_of_its_schedules_only(cli, receiver, until):
    for name in ("mine", "other"):
        cli("schedule", "put", name, "--task", "quick", "--every", "1h")
    code, out, err = cli("webhook", "add", receiver.url, "--event", "succeeded", "--schedule", "mine", "-o", "json")
    made = json.loads(out)
    assert (code, made["schedules"], "is shown this once" in err) == (0, ["mine"], True)
    assert check_secret(made["secret"])
    assert "secret" not in cli("webhook", "get", made["id"])[1]

    for name in ("other", "mine"):
        cli("schedule", "trigger", name)
    cli("task", "run", "quick", "--wait")
    assert until(lambda: receiver.heard)
    (message,) = receiver.heard
    event = json.loads(message[1])["data"]
    assert (event["type"], event["schedule"]) == ("instance.ended", "mine")
    assert is_signed(message, made["secret"])

    assert cli("webhook", "set", made["uri"], "--all-schedules", "--event", "failed")[0] == 0
    changed = json.loads(cli("webhook", "ls", "-o", "jsonl")[1])
    assert (changed["schedules"], changed["events"]) == ([], ["failed"])


def test_a_webhook_is_tried_signed_anew_disabled_and_forgotten(cli, receiver, tmp_path):
    made = cli("webhook", "add", receiver.url, "--event", "*", "--schedule", "nightli", "-o", "name")
    hook = made[1].strip()
    assert "There is no schedule 'nightli' now" in made[2]
    assert cli("webhook", "test", hook, "-o", "name")[:2] == (0, "delivered\n")

    (tmp_path / "secret").write_text(ours := new_secret())
    for flags in ([], ["--secret-file", str(tmp_path / "secret")]):
        secret = cli("webhook", "rotate", hook, *flags)[1].strip()
        assert cli("webhook", "test", hook)[0] == 0
        assert is_signed(receiver.heard[-1], secret)
    assert secret == ours

    receiver.status = 500
    code, out, _ = cli("webhook", "test", hook)
    assert (code, "The answer was 500." in out) == (1, True)

    assert cli("webhook", "disable", hook)[0] == 0
    assert "disabled: somebody disabled it" in cli("webhook", "get", hook)[1]
    assert cli("webhook", "enable", hook)[0] == 0
    assert " active " in cli("webhook", "ls")[1]
    assert cli("webhook", "rm", hook)[0] == 0
    code, _, err = cli("webhook", "get", hook)
    assert (code, "There is no webhook" in err, "webhook ls" in err) == (3, True, True)


def test_what_cannot_be_a_webhook_is_said(cli, receiver, tmp_path):
    code, _, err = cli("webhook", "add", "http://10.0.0.1/", "--event", "nonsense")
    assert (code, "/url" in err, "/events" in err) == (2, True, True)
    assert cli("webhook", "set", "0193a6e2-7c1d-7f3a-9d41-5c2f8a1b6e90")[0] == 2
    (tmp_path / "secret").write_text("short")
    code, _, err = cli("webhook", "add", receiver.url, "--event", "*", "--secret-file", str(tmp_path / "secret"))
    assert (code, "whsec_" in err) == (2, True)
