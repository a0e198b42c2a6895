"""Large answers stay in memory until their clients have taken them: there may be only so many at a time."""

from functools import partial

import trio
from quart import Quart, Response, request

from callsheet.errors import Unavailable
from web.guard import SAFE_METHODS
from web.problems import problem_of
from web.site import LARGE_ANSWERS, site

LARGE = 256 * 1024  # bytes


def install(app: Quart) -> None:
    """Refuse a large answer while as many as there may be wait for their clients; SafeHTTP tells when it is gone."""

    @app.after_request
    async def hold(response: Response) -> Response:
        if request.method not in SAFE_METHODS or (response.content_length or 0) < LARGE:
            return response  # what was changed is told, however large
        answers, holder = site().answers, object()
        try:
            answers.acquire_on_behalf_of_nowait(holder)
        except trio.WouldBlock:
            return problem_of(
                Unavailable(f"{LARGE_ANSWERS} large answers wait for clients to take them. Ask for less, with `limit`.")
            )
        request.scope["callsheet.gone"] = partial(answers.release_on_behalf_of, holder)  # type: ignore[typeddict-unknown-key]
        return response
