"""What a task raised, in plain text: as it is stored, and as it comes from a worker process."""

import traceback
from collections.abc import Callable

from callsheet.tasks.text import safe_text

MAX_ERROR = 16_000  # characters of a traceback that are kept


def describe(error: BaseException) -> dict[str, str]:
    """Describe an exception in plain text, even one whose own `str`, `repr` or class name fails."""
    return {
        "type": _tried(lambda: safe_text(str(type(error).__qualname__)[:200]), "Exception"),
        "message": _tried(lambda: safe_text("".join(str(error)[:MAX_ERROR])), "<the exception's str() failed>"),
        "traceback": _tried(lambda: safe_text(_traceback(error))[-MAX_ERROR:], "<it could not be formatted>"),
    }


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error, limit=-30))


def _tried(describe: Callable[[], str], otherwise: str) -> str:
    try:
        return str(describe())
    except BaseException:  # noqa: BLE001 - the author's own code
        return otherwise
