"""HTTP in front of an engine inside another program: the service's own, on an address that the program names."""

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from callsheet.errors import RefusedToStart
from callsheet.forks import close_in_children
from callsheet.node import Node
from callsheet.service import WEB_LIMITS, open_web, pace_of, site_of
from callsheet.settings import Settings
from callsheet.tokens import check_secret
from storage.database import may_exist
from storage.queries.tokens import standing_tokens
from web.gate import Gate
from web.guard import check_bind
from web.keyring import Keyring
from web.worker import listen, url_of

if TYPE_CHECKING:
    from callsheet.embedded.stay import Stay


@define
class Facade:
    """An address that is listened on, and who may call there."""

    host: str
    secret: str | None
    listeners: list[trio.SocketListener]
    gate: Gate = field(factory=Gate)
    _quit: trio.Event = field(factory=trio.Event)
    _over: trio.Event = field(factory=trio.Event)

    @property
    def url(self) -> str:
        """Return where it answers."""
        return url_of(self.listeners[0])

    async def prepare(self, node: Node) -> None:
        """Find out who may call; RefusedToStart when that is everybody, on an address that others reach."""
        keyring = Keyring.of(self.secret, await node.door.read(standing_tokens, node.database))
        check_bind(self.host, insecure=False, keyed=keyring.needed)
        self.gate = Gate(keyring, pace_of(Settings().rate_limit))

    async def serve(self, stay: "Stay", *, task_status: trio.TaskStatus[list[str]]) -> None:
        """Answer until told to finish; should that fail, the engine is not what the program asked for."""
        assert stay.tree is not None
        assert stay.dog is not None
        site = site_of(stay.node, stay.tree, stay.dog, stay.options.max_running)
        try:
            await open_web(site, self.gate, self.listeners, self._quit, task_status=task_status)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program is told at its end
            stay.fall(error)
        finally:
            self._over.set()

    async def finish(self) -> None:
        """Let those who are being answered hear the end of it, for a moment."""
        self._quit.set()
        with trio.move_on_after(WEB_LIMITS.graceful_timeout + 0.1):
            await self._over.wait()

    def close(self) -> None:
        """Listen no more."""
        for listener in self.listeners:
            listener.socket.close()


async def listening(address: str, api_key: str | None, database: str) -> Facade:
    """Listen on "HOST:PORT"; RefusedToStart says why that cannot be."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit():
        raise RefusedToStart(f'http: {address!r} is not "HOST:PORT", such as "127.0.0.1:8080".')
    try:
        secret = None if api_key is None else check_secret(api_key)
    except ValueError as error:
        raise RefusedToStart(f"api_key {error}.") from None
    check_bind(host, insecure=False, keyed=secret is not None or may_exist(database))
    listeners = await listen(host, int(port))
    for listener in listeners:
        close_in_children(listener.socket)
    return Facade(host, secret, listeners)
