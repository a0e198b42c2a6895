"""`callsheet openapi`: the description of the API of this version; no service is asked."""

import argparse

from callsheet.commands import output
from callsheet.commands.common import OK, Arguments


def configure(parser: argparse.ArgumentParser) -> None:
    """There are no arguments."""
    parser.set_defaults(run=run)


def run(_: Arguments) -> int:
    """Print it as JSON."""
    from web.app import create_app  # noqa: PLC0415 - half a second of imports that --help does not need
    from web.openapi import document  # noqa: PLC0415

    output.document(document(create_app(None, insecure=False)))
    return OK
