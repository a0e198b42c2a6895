"""The code of tasks that several tests give to a service, without what it imports."""

HELLO = """
@task
async def hello(_in: None, out: Out[str]) -> None:
    await out.send("hello")
"""
DEAF = """
@task
async def deaf(_in: None, out: Out[None]) -> None:
    while True:
        try:
            await trio.sleep(60)
        except BaseException:
            pass
"""
