"""What can go wrong, split by whose fault it is; each error knows the HTTP status that fits it."""

from typing import ClassVar

from attrs import frozen


@frozen
class FieldError:
    """One wrong field of a document.

    `pointer` is an RFC 6901 JSON pointer without the leading `#`: "" is the document, "/trigger/cron" a field.
    """

    pointer: str
    detail: str

    def under(self, prefix: str) -> "FieldError":
        """Return the same error seen from a document that holds this one at `prefix`."""
        return FieldError(prefix + self.pointer, self.detail)


class CallsheetError(Exception):
    """Base of all our errors; `str(error)` is a sentence for people."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"


_HINTS = {
    ("task", "command"): (
        "it runs programs: start the service with --allow-commands (CALLSHEET_ALLOW_COMMANDS) to have it"
    ),
}


def hint_for(what: str, name: object) -> str | None:
    """Return what to do about something that is missing, where that is known."""
    return _HINTS.get((what, str(name)))


class Unknown(CallsheetError):
    """Nothing by that name exists, or ever did."""

    status = 404
    kind = "unknown"
    title = "There is no such thing"

    def __init__(self, what: str, name: object) -> None:
        hint = hint_for(what, name)
        super().__init__(f"There is no {what} {str(name)!r}{f'; {hint}' if hint else ''}.")


class Refused(CallsheetError):
    """The request is sound but clashes with how things stand; `blocked_by` is the URI in its way."""

    status = 409
    kind = "conflict"
    title = "That clashes with how things stand"

    def __init__(self, detail: str, blocked_by: str | None = None) -> None:
        super().__init__(detail)
        self.blocked_by = blocked_by


class Outdated(CallsheetError):
    """`If-Match` named another version than the one that stands."""

    status = 412
    kind = "precondition-failed"
    title = "It changed since you read it"


class Invalid(CallsheetError):
    """A document is not valid; `errors` holds every wrong field at once."""

    status = 422
    kind = "validation"
    title = "The request is not valid"

    def __init__(self, *errors: FieldError) -> None:
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors))
        self.errors = errors

    def under(self, prefix: str) -> "Invalid":
        """Return the same errors seen from a document that holds this one at `prefix`."""
        return Invalid(*(error.under(prefix) for error in self.errors))


class KeyReused(CallsheetError):
    """The `Idempotency-Key` was given before, with another request."""

    status = 422
    kind = "idempotency-key-reused"
    title = "This Idempotency-Key belongs to another request"

    def __init__(self) -> None:
        super().__init__("The same Idempotency-Key came with another body before: give each request a key of its own.")


class Unavailable(CallsheetError):
    """We cannot do it now, but may soon: try again in `retry_after` seconds."""

    status = 503
    kind = "unavailable"
    title = "Not now"
    retry_after: ClassVar[int] = 1


class StorageFull(Unavailable):
    """The disk of the database is full."""

    status = 507
    kind = "storage-full"
    title = "The database has no room left"
    retry_after = 10


class RefusedToStart(CallsheetError):
    """Configuration or database do not let the service start: the process exits with 78."""

    kind = "refused-to-start"


class GaveUp(CallsheetError):
    """A part of the engine failed for good: the process exits with 70."""

    kind = "gave-up"
