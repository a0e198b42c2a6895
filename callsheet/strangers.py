"""Whether `actors`, `storage` and `web` are ours: other distributions, and folders, have these names, too."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

from callsheet import __version__
from callsheet.errors import RefusedToStart
from callsheet.settings import Settings

OURS = ("actors", "storage", "web")


def refuse_strangers() -> None:
    """Refuse to start with a package that is not ours, before anything in it is used."""
    for name in OURS:
        try:
            version = getattr(import_module(name), "__version__", None)
        except Exception as error:  # it may be anybody's code
            raise _refused(name, f" ({type(error).__name__}: {error})") from error
        if version != __version__:
            raise _refused(name)


def load_service() -> Callable[[Settings], int]:
    """Import the service; RefusedToStart where somebody else's files are among ours, or some of ours are gone."""
    refuse_strangers()
    try:
        from callsheet.service import serve  # noqa: PLC0415 - half a second of imports that --help does not need
    except ImportError as error:
        name = (error.name or "").partition(".")[0]
        if name not in OURS:
            raise
        raise _refused(name, f" ({error})") from error
    return serve


def _refused(name: str, why: str = "") -> RefusedToStart:
    return RefusedToStart(
        f"{_place(name)} is not callsheet's, or not whole{why}: another distribution or folder has its name. "
        "Install callsheet anew, in an environment of its own."
    )


def _place(name: str) -> str:
    spec = find_spec(name)
    if spec is None:
        return f"The package {name}"
    return spec.origin or ", ".join(spec.submodule_search_locations or [name])
