"""What a webhook subscribes to, and how its messages look: pure rules. A message is a CloudEvent (1.0, JSON)."""

import re
from collections.abc import Mapping
from typing import Any

from callsheet.lifecycle import FATES, OUTCOMES
from callsheet.tasks.retry import Retry

WORDS = (*OUTCOMES, *FATES)
EVERYTHING = "*"
OWN = "webhook."  # events about webhooks go to none: a message that cannot be delivered must not make others
BACKOFF = Retry(0, backoff="5s..1h")

_NAME = re.compile(r"[a-z_]+\.([a-z_]+|\*)", re.ASCII)


def check_name(text: object) -> str:
    """Check what a webhook may subscribe to: a type, a family of types, an outcome, a fate, or everything."""
    if not isinstance(text, str) or not (text in (*WORDS, EVERYTHING) or _NAME.fullmatch(text)):
        words = ", ".join(WORDS)
        raise ValueError(f"must hold types like instance.ended, families like instance.*, {words}, or *")
    return text


def takes(names: tuple[str, ...], kind: str, data: Mapping[str, Any]) -> bool:
    """Tell whether an event of this type, with this data, is among what was subscribed to."""
    if kind.startswith(OWN):
        return False
    word = {"instance.ended": "outcome", "due.omitted": "fate"}.get(kind)
    known = {EVERYTHING, kind, kind.partition(".")[0] + ".*"} | ({data.get(word)} if word else set())
    return not known.isdisjoint(names)


def cloud_event(source: str, event: dict[str, Any]) -> dict[str, Any]:
    """Return an event, as the API shows it, as a CloudEvent; `data` is the same object."""
    schedule = event["schedule"]
    subject = event["instance"] or (schedule and f"/v1/schedules/{schedule}")
    return {
        "specversion": "1.0",
        "id": str(event["id"]),
        "source": source,
        "type": f"callsheet.{event['type']}",
        "time": event["at"],
        **({"subject": subject} if subject else {}),
        "datacontenttype": "application/json",
        "data": event,
    }
