"""The Dockerfile's very steps, carried out without Docker, and the container that comes of them.

`make prove-deploy` runs it, as root. What stands in for what:

- the base image: Debian of the same name with Debian's Python of the same version, by debootstrap;
- RUN: a shell in that root, in bubblewrap; COPY, ENV and the rest: a few lines of conftest.py;
- the container: bubblewrap with a read-only root, /tmp in memory, /data and /tasks, process numbers of its own, no
  capability, and the user that the Dockerfile names.
"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import define, frozen

PATIENCE = 30.0  # seconds after which a wait has failed
DOCKER_KILLS_AFTER = 10.0  # seconds from SIGTERM, unless told otherwise
MOST = 70  # MB that we add; with the base, of about 125 MB, that stays below 200
ANY = "127.0.0.2"  # of this machine, too, but only a service that listens on every address answers there
KEY = "0123456789abcdef" * 2
TASKS = """
    import os, subprocess
    from pathlib import Path
    import trio
    from callsheet import Out, task

    @task
    async def tries_to_write(_in: list[str], out: Out[dict[str, str]]) -> None:
        found = {}
        for path in _in:
            try:
                Path(path).write_text("here")
                found[path] = "written"
            except OSError as error:
                found[path] = error.strerror
        await out.send(found)

    @task
    async def who(_in: None, out: Out[list[int]]) -> None:
        await out.send([os.getuid(), os.getgid(), os.getppid()])

    @task(isolate="process")
    def apart(_in: None, out: Out[int]) -> None:
        out.send(os.getuid())

    @task
    def leaves_an_orphan(_in: None, out: Out[None]) -> None:
        subprocess.run(["sh", "-c", "setsid sleep 0.2 &"], check=True)

    @task
    async def takes_a_while(_in: None, out: Out[str]) -> None:
        await trio.sleep(2)
        await out.send("finished")
"""

pytestmark = pytest.mark.timeout(1200)


# --- the container ---


@frozen
class Container:
    """A container of the image: its process outside, and where it listens."""

    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str]
    check: list[str]

    @property
    def first(self) -> int:
        """Return the number that its process 1 has outside; bubblewrap stands between."""
        return until(lambda: children(self.process.pid))[0]

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as an engine does: in the container, as its user, with its variables."""
        assert self.process.poll() is None, self.process.stdout.read()
        inside = ["nsenter", "--target", str(self.first), "--mount", "--pid", "--root", "--wd"]
        user = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "env", "--ignore-environment"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return subprocess.run(
            [*inside, *user, *variables, *command], capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def healthy(self) -> bool:
        """Tell what the health check says."""
        return self.exec(*self.check).returncode == 0

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the service from outside; return the body of the answer."""
        connection = http.client.HTTPConnection(ANY, self.port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def result(self, task: str, given: Any = None) -> Any:
        """Run a task to its end and return its only output, or its outcome if it sent none."""
        uri = self.ask("POST", "/v1/instances", {"task": task, "input": given})["uri"]
        over = until(lambda: (seen := self.ask("GET", uri))["outcome"] and seen)
        assert over["outcome"] == "succeeded", over
        return over["outputs"][0] if over["outputs"] else None

    def stop(self) -> tuple[int, float, str]:
        """Send SIGTERM to process 1; return the exit code, the seconds it took, and all that was said."""
        began = time.monotonic()
        os.kill(self.first, signal.SIGTERM)
        out, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, time.monotonic() - began, out


@define
class Engine:
    """Runs containers of the image over one volume, and ends what is left of them."""

    image: Any
    stage: Any
    volume: Path
    tasks: Path
    started: list[subprocess.Popen[str]]

    def run(self, *command: str, **variables: str) -> Container:
        """Run a container; `command` takes the place of CMD."""
        environment = self.image.environment | {"HOME": "/data"} | variables
        words = self.stage.one("ENTRYPOINT").exec_form + (list(command) or self.stage.one("CMD").exec_form)
        process = subprocess.Popen(
            [*self._walls(environment), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        check = json.loads(self.stage.one("HEALTHCHECK").rest.removeprefix("CMD "))
        return Container(process, int(environment.get("CALLSHEET_PORT", "8080")), environment, check)

    def said(self, *command: str, **variables: str) -> tuple[int, str]:
        """Run a container to its end; return the exit code and all that was said."""
        process = self.run(*command, **variables).process
        out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out

    def _walls(self, environment: dict[str, str]) -> list[Any]:
        user, group = self.stage.one("USER").rest.split(":")
        told = [word for pair in sorted(environment.items()) for word in ("--setenv", *pair)]
        return [
            *("bwrap", "--ro-bind", self.image.path, "/", "--dev", "/dev", "--proc", "/proc"),
            *("--perms", "1777", "--tmpfs", "/tmp"),
            *("--bind", self.volume, self.stage.one("VOLUME").rest, "--ro-bind", self.tasks, "/tasks"),
            *("--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--hostname", "container"),
            *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
            *("--clearenv", *told, "--chdir", self.image.workdir, "setpriv", f"--reuid={user}", f"--regid={group}"),
            *("--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
        ]


@pytest.fixture
def engine(image: Any, stages: Any, tmp_path: Path) -> Iterator[Engine]:
    """Return what runs containers, with a new volume: an engine fills it with what the image has there."""
    subprocess.run(["cp", "--archive", image.inside("/data"), tmp_path / "data"], check=True)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "jobs.py").write_text(dedent(TASKS))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    engine = Engine(image, stages[-1], tmp_path / "data", tmp_path / "tasks", [])
    yield engine
    for process in engine.started:
        for pid in (*children(process.pid), process.pid):  # process 1 first: with bubblewrap its number would go
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def until(found: Any) -> Any:
    """Look again and again until something true is found, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return value


def children(pid: int) -> list[int]:
    """Return the numbers of a process's children."""
    return [int(pid) for listing in Path(f"/proc/{pid}/task").glob("*/children") for pid in listing.read_text().split()]


def megabytes(folder: Path) -> float:
    """Return what a folder takes on the disk."""
    done = subprocess.run(["du", "--summarize", "--block-size=1", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1e6


# --- what is proven ---


def test_the_image_adds_little_and_nothing_that_its_user_can_change(image: Any, base: Path) -> None:
    added = megabytes(image.path) - megabytes(base)
    print(f"the image is its base and {added:.0f} MB")
    assert added < MOST
    assert not list(image.inside("/opt/callsheet/bin").glob("pip*"))
    changeable = ["find", image.path, "-xdev", "(", "-uid", "10001", "-o", "-perm", "-o+w", "!", "-type", "l", ")"]
    found = subprocess.run(changeable, capture_output=True, text=True, check=True).stdout.split()
    sticky = {image.inside(path) for path in ("/tmp", "/var/tmp", "/run/lock", "/dev/shm")}
    devices = image.inside("/dev")
    assert {Path(path) for path in found if devices not in Path(path).parents} - sticky == {image.inside("/data")}


def test_there_are_wheels_for_arm_too(root: Path, stages: Any, tmp_path: Path) -> None:
    version = re.match(r"python:([\d.]+)", stages[-1].base)[1]
    kinds = [f"--platform=manylinux{kind}_aarch64" for kind in ("2014", "_2_17", "_2_28")]
    command = ["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={tmp_path}"]
    lock = root / "requirements.lock"
    done = [sys.executable, "-m", "pip", *command, *kinds, f"--python-version={version}", f"--requirement={lock}"]
    subprocess.run(done, check=True)


def test_the_web_holds_on_the_releases_that_the_image_has(built: dict[str, Any], root: Path) -> None:
    """The other tests run on the releases that the Python of the developer gets; those of Quart differ by that."""
    made = built["build"]
    needed = "pytest pytest-timeout pytest-trio hypothesis jsonschema-rs"
    made.run(f"/build/bin/pip --python /opt/callsheet/bin/python install --quiet --no-cache-dir {needed}")
    shutil.copytree(root / "tests", made.inside("/src/tests"), dirs_exist_ok=True)
    names = ("test_worker", "test_worker_hostile", "test_strict_json")
    files = " ".join(f"tests/web/{name}.py" for name in names)
    made.run(f"/opt/callsheet/bin/python -m pytest -q -p no:cacheprovider {files}")


def test_without_a_key_it_refuses_and_says_what_to_do(engine: Engine) -> None:
    code, said = engine.said()
    assert code == 78
    assert re.fullmatch(r"callsheet: Refusing to listen on 0\.0\.0\.0: .*CALLSHEET_API_KEY.*\n", said)
    assert not list(engine.volume.iterdir())


def test_it_can_be_looked_at_without_a_key_if_that_is_what_is_meant(engine: Engine, free_port: int) -> None:
    container = engine.run("serve", "--insecure-no-auth", "--demo", CALLSHEET_PORT=str(free_port))
    until(container.healthy)
    assert len(container.ask("GET", "/v1/schedules")["items"]) == 3
    assert container.stop()[0] == 0


def test_its_whole_life(engine: Engine, free_port: int) -> None:
    container = engine.run(CALLSHEET_API_KEY=KEY, CALLSHEET_PORT=str(free_port))
    until(container.healthy)

    assert container.result("who") == [10001, 10001, 1]  # process 1 only looks after the service
    assert container.result("apart") == 10001
    writes = container.result(
        "tries_to_write", ["/data/a", "/tmp/a", "/tasks/a", "/opt/callsheet/a", "/a", "/etc/passwd"]
    )
    assert [path for path, what in writes.items() if what == "written"] == ["/data/a", "/tmp/a"]
    assert {*writes.values()} == {"written", "Read-only file system"}

    made = container.exec("callsheet", "token", "create", "--name", "ada", "--role", "viewer")  # as the how-to has it
    assert re.fullmatch(r"csk_\S{43}\n", made.stdout)
    container.result("leaves_an_orphan")
    until(lambda: len(children(container.first)) == 1)

    uri = container.ask("POST", "/v1/instances", {"task": "takes_a_while"})["uri"]
    code, seconds, said = container.stop()
    assert (code, seconds < DOCKER_KILLS_AFTER) == (0, True), said
    assert "stopped; nothing was left running" in said

    again = engine.run(CALLSHEET_API_KEY=KEY, CALLSHEET_PORT=str(free_port))
    until(again.healthy)
    assert again.ask("GET", uri)["outputs"] == ["finished"]
    assert again.stop()[0] == 0


def test_what_cannot_finish_is_interrupted_before_docker_kills(engine: Engine, free_port: int) -> None:
    container = engine.run(CALLSHEET_API_KEY=KEY, CALLSHEET_PORT=str(free_port))
    until(container.healthy)
    container.ask("POST", "/v1/instances", {"task": "sleep", "input": {"seconds": 60}})
    code, seconds, said = container.stop()
    assert (code, seconds < DOCKER_KILLS_AFTER) == (0, True), said
    assert "interrupted" in said


def test_a_key_that_was_made_on_the_volume_opens_it(engine: Engine, free_port: int) -> None:
    code, said = engine.said("token", "create", "--name", "ada", "--role", "admin")
    [key] = re.findall(r"csk_\S{43}", said)
    assert code == 0

    container = engine.run(CALLSHEET_PORT=str(free_port))
    until(container.healthy)
    code, said = engine.said(
        "task", "ls", "--output", "name", CALLSHEET_URL=f"http://{ANY}:{free_port}", CALLSHEET_TOKEN=key
    )
    assert (code, "tries_to_write" in said.split()) == (0, True)
    assert container.stop()[0] == 0
