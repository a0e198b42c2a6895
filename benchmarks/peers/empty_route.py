"""An empty JSON route on Hypercorn and Quart-Trio as they come: what an answer over HTTP costs before it says anything.

python benchmarks/peers/empty_route.py --port 8080

One process, one worker, no access log, collecting garbage as seldom as callsheet does.
"""

import argparse
from functools import partial

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio

from benchmarks.floor import calm_collector

app = QuartTrio("empty", static_folder=None)


@app.get("/")
async def empty() -> dict[str, str]:
    """Answer with an empty object."""
    return {}


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    config = Config()
    config.bind = [f"127.0.0.1:{parser.parse_args().port}"]
    config.accesslog = None
    config.errorlog = None
    calm_collector()
    trio.run(partial(serve, app, config, mode="asgi"))


if __name__ == "__main__":
    main()
