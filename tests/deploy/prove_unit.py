"""The unit does under a real systemd what its lines say: one that is process 1 of namespaces of its own.

`make prove-deploy` runs it, as root. Its root is that of the image, and systemd from Debian.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from attrs import evolve, frozen

PATIENCE = 30.0  # seconds after which a wait has failed
ANY = "127.0.0.2"  # where a service answers only if it listens on every address
BOOT = """
    set -e
    mount --make-rprivate /
    mount --bind "$1" "$1"
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs tmp
    mount -t tmpfs -o mode=755 tmpfs dev
    for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    pivot_root . mnt
    umount --lazy /mnt
    mount --make-rshared /  # as on a machine: credentials are mounted by one process and seen by another
    exec env --ignore-environment container=other PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --unit=multi-user.target
"""
TASKS = """
    import os
    import trio
    from callsheet import Out, task

    @task
    async def tries_to_write(_in: list[str], out: Out[dict[str, str]]) -> None:
        found = {}
        for path in _in:
            try:
                with open(path, "w"):
                    found[path] = "written"
            except OSError as error:
                found[path] = error.strerror
        await out.send(found)

    @task(isolate="process")
    def apart(_in: None, out: Out[int]) -> None:
        out.send(os.getuid())
"""

pytestmark = pytest.mark.timeout(1200)


@frozen
class Machine:
    """A systemd that runs: its process outside, its root, and where the service listens."""

    first: int
    root: Path
    port: int

    def run(self, *command: str) -> str:
        """Run a command beside it; return what it prints, whatever its exit code."""
        inside = ["nsenter", "--target", str(self.first), "--all", "--root", "--wd=/"]
        return subprocess.run([*inside, *command], capture_output=True, text=True, check=False).stdout

    def shown(self, name: str) -> str:
        """Return a property of the unit."""
        return self.run("systemctl", "show", "--value", "--property", name, "callsheet").strip()

    def restart(self, *settings: str) -> None:
        """Start the service anew with some settings."""
        common = (self.root / "etc/callsheet/callsheet.toml.shipped").read_text()
        lines = (f"port = {self.port}", "allow_commands = true", *settings)
        (self.root / "etc/callsheet/callsheet.toml").write_text("\n".join((common, *lines, "")))
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "reset-failed", "callsheet")
        self.run("systemctl", "restart", "callsheet")

    def ask(self, method: str, path: str, body: Any = None, wait: int = 20, **headers: str) -> tuple[int, Any]:
        """Ask the service; return status and body, 0 when nobody answers."""
        connection = http.client.HTTPConnection(ANY if headers else "127.0.0.1", self.port, timeout=PATIENCE)
        headers |= {"Content-Type": "application/json", "Prefer": f"wait={wait}"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except OSError:
            return 0, None
        finally:
            connection.close()

    def output(self, task: str, given: Any = None) -> Any:
        """Run a task to its end and return its only output."""
        _, over = self.ask("POST", "/v1/instances", {"task": task, "input": given})
        assert over["outcome"] == "succeeded", over
        return over["outputs"][0]

    def ready(self) -> bool:
        """Tell whether the service takes new work."""
        return self.ask("GET", "/readyz")[0] == 200


@pytest.fixture(scope="module")
def machine(image: Any, root: Path, free_port: int, tmp_path_factory: Any) -> Iterator[Machine]:
    """Return a machine with the unit installed as the how-to says."""
    folder = tmp_path_factory.mktemp("machine") / "root"
    subprocess.run(["cp", "--archive", image.path, folder], check=True)
    installed = evolve(image, path=folder)
    installed.run("apt-get update -qq && apt-get install -y -qq --no-install-recommends systemd dbus >/dev/null 2>&1")
    installed.run("userdel callsheet")  # the image's own: systemd would take it for the one that it is to make up
    unit = installed.inside("/etc/systemd/system/callsheet.service")
    unit.write_text((root / "deploy/systemd/callsheet.service").read_text())
    tasks = installed.inside("/etc/callsheet/tasks")
    tasks.mkdir(parents=True)
    (tasks / "jobs.py").write_text(dedent(TASKS))
    shipped = (root / "deploy/systemd/callsheet.toml").read_text()
    installed.inside("/etc/callsheet/callsheet.toml.shipped").write_text(shipped)
    walls = ["unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork", "--kill-child"]
    booted = subprocess.Popen([*walls, "sh", "-c", dedent(BOOT), "boot", folder], stdout=subprocess.DEVNULL)
    first = until(lambda: _children(booted.pid))[0]
    machine = Machine(first, folder, free_port)
    until(lambda: machine.run("systemctl", "is-system-running").strip() in ("running", "degraded"))
    yield machine
    os.kill(first, signal.SIGKILL)
    booted.wait()
    shutil.rmtree(folder)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(found: Any) -> Any:
    """Look again and again until something true is found, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)
    return value


def test_it_serves_and_its_tasks_reach_no_more_than_they_need(machine: Machine) -> None:
    machine.restart()
    until(machine.ready)

    given = ["/etc/callsheet/a", "/opt/callsheet/a", "/usr/a", "/var/lib/callsheet/a", "/tmp/a", "/home/a"]
    writes = machine.output("tries_to_write", given)
    assert {path for path, what in writes.items() if what == "written"} == {"/var/lib/callsheet/a", "/tmp/a"}
    assert machine.output("apart") >= 61184  # a user that systemd made up
    status = machine.output("command", {"argv": ["cat", "/proc/self/status"]})["stdout"]
    assert {"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} <= set(status.splitlines())
    assert (machine.root / "var/lib/private/callsheet/callsheet.db").exists()


def test_a_stop_lets_what_runs_finish_and_the_programs_of_tasks_too(machine: Machine) -> None:
    machine.restart()
    until(machine.ready)
    for task, given in (("sleep", {"seconds": 2}), ("command", {"argv": ["sh", "-c", "sleep 2; echo whole"]})):
        assert machine.ask("POST", "/v1/instances", {"task": task, "input": given}, wait=0)[0] == 202
    machine.run("systemctl", "stop", "callsheet")
    assert (machine.shown("Result"), machine.shown("ExecMainStatus")) == ("success", "0")

    machine.restart()
    until(machine.ready)
    newest = machine.ask("GET", "/v1/instances?limit=2")[1]["items"]
    assert {one["outcome"] for one in newest} == {"succeeded"}


def test_it_is_started_again_after_a_crash_but_not_after_a_wrong_setting(machine: Machine) -> None:
    machine.restart()
    until(machine.ready)
    machine.run("systemctl", "kill", "--signal=KILL", "callsheet")
    until(lambda: machine.shown("NRestarts") == "1" and machine.ready())

    machine.restart('drian = "5s"')
    until(lambda: machine.shown("ActiveState") == "failed")
    assert (machine.shown("ExecMainStatus"), machine.shown("NRestarts")) == ("78", "0")


def test_with_a_key_that_systemd_hands_over_it_may_listen_everywhere(machine: Machine, root: Path) -> None:
    page = (root / "docs/how-to/run-under-systemd.md").read_text()
    drop_in = machine.root / "etc/systemd/system/callsheet.service.d/key.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(page.split("```ini\n")[1].split("```")[0])
    key = machine.root / "etc/callsheet/api-key"
    key.write_text("0123456789abcdef" * 2)
    key.chmod(0o600)
    machine.restart('host = "0.0.0.0"')
    until(machine.ready)

    assert machine.ask("GET", "/v1/tasks", Authorization="Bearer none")[0] == 401
    assert machine.ask("GET", "/v1/tasks", Authorization=f"Bearer {key.read_text()}")[0] == 200
