"""`callsheet openapi`: the description of the API, as the service gives it."""

import argparse
from typing import TYPE_CHECKING

from callsheet.commands import output
from callsheet.commands.common import Arguments, asking

if TYPE_CHECKING:
    from callsheet.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    asking(parser, _openapi)


def _openapi(client: "Client", arguments: Arguments) -> None:
    found = client.openapi()
    if arguments.output == "jsonl":
        output.line(output.compact(found))
    else:
        output.document(found)
