"""Servers that `http_get` may reach."""

import pytest

from callsheet.builtin.addresses import allow, parse_allow
from tests.callsheet.tiny_server import Server


@pytest.fixture
async def serve(nursery):
    """Start servers that http_get may reach, each on its own port only."""
    rules = []

    async def start(*answers, tls=None):
        server = await Server(*answers).start(nursery, tls)
        rules.append(parse_allow(f"127.0.0.1:{server.port}"))
        allow(rules)
        return server

    return start
