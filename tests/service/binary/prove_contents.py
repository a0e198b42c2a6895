"""The one-file binary does all that callsheet does, on a machine that has no Python."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import callsheet

ROOT = Path(__file__).parents[3]
LEFT_OUT = {"_gdbm", "_tkinter", "antigravity", "idlelib", "readline", "test", "tkinter", "turtle", "turtledemo"}
SCHEDULE = {"task": "sleep", "input": {"seconds": 0}, "trigger": {"cron": "0 * * * *", "timezone": "Europe/Berlin"}}
TASKS = """
import importlib, importlib.metadata, importlib.util, multiprocessing, zoneinfo

import beside

@task
async def imports(_in: list[str], out: Out[dict[str, str]]) -> None:
    failed = {}
    for name in _in:
        try:
            if importlib.util.find_spec(name) is None:
                failed[name] = "is not there"
            elif "." not in name:
                importlib.import_module(name)
        except Exception as error:
            failed[name] = repr(error)
    await out.send(failed)

@task
async def finds(_in: None, out: Out[list[str]]) -> None:
    versions = [importlib.metadata.version(name) for name in ("callsheet", "trio")]
    await out.send([*versions, zoneinfo.ZoneInfo("Europe/Berlin").key, beside.NAME])

@task(isolate="process")
def apart(_in: None, out: Out[list[str]]) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        out.send(pool.map(os.path.basename, ["/a/b"]))

@task(isolate="process")
def spin(_in: None, out: Out[int]) -> None:
    out.send(os.getpid())
    while True:
        pass

@task
async def program(_in: list[str], out: Out[str]) -> None:
    done = await trio.run_process(_in, capture_stdout=True)
    await out.send(done.stdout.decode())
"""


@pytest.fixture(autouse=True)
def _beside(binary: Any) -> None:
    (binary.folder / "beside.py").write_text("NAME = 'beside'\n")


def every_module() -> list[str]:
    """Return the names of all modules of this Python's standard library that a task may want."""
    found = []
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        spec = find_spec(name)
        if spec is None:
            continue
        found.append(name)
        for place in spec.submodule_search_locations or ():
            files = [path.relative_to(place).with_suffix("") for path in Path(place).rglob("*.py")]
            inner = [file.parent if file.name == "__init__" else file for file in files]
            found += [".".join((name, *file.parts)) for file in inner if file.parts and is_wanted(file.parts)]
    return found


def is_wanted(parts: tuple[str, ...]) -> bool:
    """Tell whether a module is neither a test, nor data that ends in .py, nor there to be run."""
    return all(part.isidentifier() for part in parts) and not {"test", "tests", "__main__"} & set(parts)


def built_with(name: str) -> str:
    """Return the version of a distribution in the environment that the binary was built in."""
    [found] = (ROOT / "build" / "binary").glob(f"lib/python*/site-packages/{name}-*.dist-info")
    return found.name.removesuffix(".dist-info").rpartition("-")[2]


def bare_files(binary: Path) -> list[str]:
    """Return the files of glibc and zlib, which the binary expects on a machine."""
    names = {f"lib{name}" for name in ("c.so.6", "m.so.6", "dl.so.2", "pthread.so.0", "rt.so.1", "util.so.1")}
    names |= {"libz.so.1", "libresolv.so.2", "libnss_files.so.2", "libnss_dns.so.2"}
    linked = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    folders = {Path(path).parent for path in re.findall(r"=> (/\S+)", linked)}
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    files = [path for name, path in re.findall(r"(\S+) \(.*=> (/\S+)", known) if name in names]
    loader = re.findall(r"^\s*(/\S+) \(0x", linked, re.MULTILINE)
    return [path for path in files if Path(path).parent in folders] + loader


@pytest.fixture
def sandbox(binary: Any) -> tuple[str, ...]:
    """Return what runs a program where there is nothing but the binary, glibc, zlib and the test's folder."""
    (binary.folder / "etc-ssl").mkdir()
    wrapped = (
        "bwrap", "--die-with-parent", "--clearenv",
        *(word for file in bare_files(binary.path) for word in ("--ro-bind", file, file)),
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", str(binary.path), "/opt/callsheet",
        "--bind", str(binary.folder), str(binary.folder), "--chdir", str(binary.folder),
        "--bind", str(binary.folder / "etc-ssl"), "/etc/ssl",
    )  # fmt: skip
    try:
        tried = subprocess.run([*wrapped, "/opt/callsheet", "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("bwrap is not installed")
    if tried.stderr.startswith("bwrap"):
        pytest.skip(f"there can be no sandbox here: {tried.stderr.strip()}")
    assert tried.stdout.startswith(f"callsheet {callsheet.__version__} (tzdata "), tried.stderr
    return wrapped


@pytest.fixture
def https(binary: Any) -> Iterator[int]:
    """Return the port of a server that answers by TLS; its certificate is in certificate.pem."""
    key, certificate = binary.folder / "key.pem", binary.folder / "certificate.pem"
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes")
    make = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_all, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]


def answer_all(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Answer one request after the other."""
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as stream:
                stream.recv(4096)
                stream.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def outputs(service: Any, task: str, given: Any = None) -> Any:
    """Run a task that has to succeed, and return what it sent."""
    seen = service.over(service.start(task, input=given))
    assert seen["outcome"] == "succeeded", seen
    return seen["outputs"]


def test_where_there_is_nothing_but_glibc_it_does_all_that_it_does(
    binary: Any, sandbox: tuple[str, ...], https: int
) -> None:
    def start() -> Any:
        flags = ("--http-allow", "127.0.0.1/32", "--allow-commands")
        return binary.launch(*flags, program=("/opt/callsheet",), through=sandbox, tasks=TASKS)

    service, url = start(), f"https://127.0.0.1:{https}/"
    assert outputs(service, "imports", every_module()) == [{}]
    assert outputs(service, "finds") == [[callsheet.__version__, built_with("trio"), "Europe/Berlin", "beside"]]
    assert outputs(service, "sleep", {"seconds": 0.1})[0] >= 0.1
    assert outputs(service, "counter", {"by": 3}) == [3]
    assert outputs(service, "apart") == [["b"]]
    [done] = outputs(service, "command", {"argv": ["/opt/callsheet", "--version"]})
    assert done["stdout"].startswith("callsheet ")
    seen = service.over(service.start("http_get", input={"url": url}))
    assert "certificate is not trusted" in seen["error"]["message"]
    assert service.get("/openapi.json")["openapi"] == "3.1.0"
    page = subprocess.run(["curl", "-s", f"{service.url}/docs/swagger-ui-bundle.js"], capture_output=True, check=True)
    assert len(page.stdout) > 1_000_000
    assert service.post("/v1/simulate", {"to": "1d", "schedules": {"hourly": SCHEDULE}})["firings"] == 24
    os.kill(binary.child_of(service.process.pid), signal.SIGTERM)  # which the sandbox does not hand on
    assert service.ended()[0] == 0

    shutil.copy(binary.folder / "certificate.pem", binary.folder / "etc-ssl" / "cert.pem")  # where Fedora has them
    service = start()
    assert outputs(service, "counter", {}) == [4]
    assert outputs(service, "http_get", {"url": url})[0]["status"] == 204
    spinning = service.start("spin")
    [pid] = binary.until(lambda: service.get(spinning)["outputs"])
    service.post(f"{spinning}/cancel")
    assert service.over(spinning)["outcome"] == "cancelled"
    binary.until(lambda: not binary.alive(pid), within=1)


def test_it_serves_from_postgresql(binary: Any, postgres_url: str) -> None:
    service = binary.serve("--database", postgres_url, tasks=TASKS)
    assert outputs(service, "counter", {}) == [1]
    assert service.stop() == 0


def test_programs_that_tasks_run_get_none_of_its_libraries(binary: Any) -> None:
    for before in ({}, {"LD_LIBRARY_PATH": "/before"}):
        service = binary.serve("--allow-commands", tasks=TASKS, variables=before)
        [printed] = outputs(service, "program", ["/usr/bin/env"])
        [done] = outputs(service, "command", {"argv": ["/usr/bin/env"]})

        for environment in (printed, done["stdout"]):
            libraries = {line for line in environment.splitlines() if line.startswith("LD_LIBRARY_PATH")}
            assert libraries == {f"{name}={value}" for name, value in before.items()}
        assert "_PYI_" not in done["stdout"]
        assert outputs(service, "apart") == [["b"]]
        assert service.stop() == 0


def test_what_goes_wrong_names_the_user_s_own_line(binary: Any) -> None:
    code, said = binary.launch.refused(program=(str(binary.path),), tasks="x = 1\nraise KeyError('here')\n")
    assert (code, said) == (78, f"callsheet: --tasks jobs.py: KeyError: 'here' ({binary.folder}/jobs.py, line 7).\n")


def test_where_a_task_stands_is_told_without_the_loop_s_own_lines(binary: Any) -> None:
    waits = "@task\nasync def waits(_in: None, out: Out[None]) -> None:\n    await trio.sleep(9)\n"
    service = binary.serve(tasks=waits)
    uri = service.start("waits")
    service.running(uri)
    frames = service.get(f"{uri}/stack")["frames"]
    assert frames[0] == f"{binary.folder}/jobs.py:8 in waits"
    assert not [frame for frame in frames if "_core" in frame]


def test_dev_starts_the_binary_again_when_a_file_is_saved(binary: Any, free_port: int) -> None:
    task = "@task\nasync def greet(_in: None, out: Out[None]) -> None:\n    '''Say hello.'''\n"
    binary.launch.write_tasks(task)
    with (binary.folder / "dev.log").open("w") as log:
        command = [binary.path, "dev", "jobs.py", "--port", str(free_port)]
        process = subprocess.Popen(command, cwd=binary.folder, stdout=log, stderr=log)
    try:
        service = binary.at(free_port)
        assert service.get("/v1/tasks/greet")["doc"] == "Say hello."
        binary.launch.write_tasks(task.replace("hello", "bye"))
        binary.until(lambda: doc(service) == "Say bye.")
    finally:
        process.terminate()
        assert process.wait(20) == 0


def doc(service: Any) -> str | None:
    """Return what the task says about itself; None while nobody answers."""
    with suppress(OSError):
        return str(service.get("/v1/tasks/greet")["doc"])
    return None


def test_the_commands_work_and_pass_on_their_exit_codes(binary: Any) -> None:
    service = binary.serve(tasks=TASKS)
    done = binary.call("task", "run", "counter", "by=5", "--wait", "--url", service.url, "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["outputs"]) == (0, [5]), done
    done = binary.call("doctor", "--tasks", "jobs.py", "--url", service.url, "-o", "jsonl")
    found = {line["what"]: line["state"] for line in map(json.loads, done.stdout.splitlines())}
    assert {found[what] for what in ("python", "packages", "tasks", "zones", "service")} == {"ok"}, done
    assert "complete -F _callsheet callsheet" in binary.call("completion", "bash").stdout
    assert binary.call("simulate", "--to", "1d").returncode == 0
    for code, words in ((78, "serve --port none"), (5, "task ls --url http://127.0.0.1:1"), (2, "nonsense")):
        assert binary.call(*words.split()).returncode == code
