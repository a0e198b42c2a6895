import importlib
import sys
from pathlib import Path

import pytest

from callsheet import Out, task
from callsheet.errors import RefusedToStart
from callsheet.tasks import Registry

TASK = """
from callsheet import Out, task

@task
async def {name}(_in: int, out: Out[int]) -> None:
    await out.send(_in)
"""


@pytest.fixture(autouse=True)
def _import_state_is_put_back(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def written(folder: Path, code: str, name: str = "jobs.py") -> str:
    path = folder / name
    path.write_text(code)
    return str(path)


@task
async def here(_in: int, out: Out[int]) -> None: ...


def test_a_registry_is_a_mapping_of_names():
    registry = Registry([here])
    assert dict(registry) == {"here": here}
    assert "there" not in registry
    with pytest.raises(KeyError):
        registry["there"]


def test_the_same_task_may_come_twice_but_not_two_of_one_name():
    @task(name="here")
    async def other(_in: int, out: Out[int]) -> None: ...

    registry = Registry([here, here])
    with pytest.raises(RefusedToStart, match=r"Two tasks are named 'here': .*:here and .*other"):
        registry.add(other)
    assert registry["here"] is here


def test_a_file_is_loaded_with_all_its_tasks(tmp_path):
    registry = Registry()
    registry.load(written(tmp_path, TASK.format(name="one") + TASK.format(name="two")))
    assert set(registry) == {"one", "two"}
    assert registry["one"].origin.endswith(":one")


def test_two_files_of_one_name_do_not_shadow_each_other_or_anything(tmp_path):
    registry = Registry()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        registry.load(written(tmp_path / name, TASK.format(name=name), "json.py"))
    assert set(registry) == {"one", "two"}
    assert "json" in sys.modules
    assert str(tmp_path) not in str(sys.modules["json"].__file__)


def test_a_file_finds_its_neighbours_after_everything_else(tmp_path):
    written(tmp_path, "WORD = 'neighbour'\n", "callsheet_test_neighbour.py")
    written(tmp_path, "raise RuntimeError('never imported')\n", "json.py")
    code = "import json\nfrom callsheet_test_neighbour import WORD\n" + TASK.format(name="one")
    Registry().load(written(tmp_path, code))
    assert sys.path[-1] == str(tmp_path)


def test_a_file_that_is_named_twice_is_loaded_once(tmp_path, monkeypatch):
    registry = Registry()
    spec = written(tmp_path, TASK.format(name="one"))
    registry.load(spec)
    monkeypatch.chdir(tmp_path)
    registry.load("jobs.py")
    assert set(registry) == {"one"}


def test_all_files_of_a_folder_are_loaded_and_may_import_each_other(tmp_path):
    written(tmp_path, TASK.format(name="one"), "callsheet_test_first.py")
    written(tmp_path, "from callsheet_test_first import one\n" + TASK.format(name="two"), "callsheet_test_second.py")
    written(tmp_path, "WORD = 'no task'\n", "callsheet_test_words.py")
    for name in ("_private.py", "test_jobs.py", "conftest.py", "notes.txt"):
        written(tmp_path, "raise RuntimeError('never imported')\n", name)
    registry = Registry()
    registry.load(f"{tmp_path}/")
    assert set(registry) == {"one", "two"}
    assert sys.path[-1] == str(tmp_path)


def test_an_empty_folder_is_fine(tmp_path):
    registry = Registry()
    registry.load(str(tmp_path))
    assert not registry


def test_a_file_of_a_folder_that_cannot_be_imported_by_its_name_is_refused(tmp_path):
    written(tmp_path, TASK.format(name="one"), "json.py")
    with pytest.raises(RefusedToStart, match=r"--tasks .*json\.py: there is another module json; give the file"):
        Registry().load(str(tmp_path))


def test_a_folder_beside_a_package_of_that_name_is_meant_by_its_path_only(tmp_path, monkeypatch):
    package = tmp_path / "callsheet_test_package"
    package.mkdir()
    written(package, TASK.format(name="one"), "__init__.py")
    written(package, TASK.format(name="two"), "callsheet_test_inner.py")
    monkeypatch.chdir(tmp_path)
    by_name, by_path = Registry(), Registry()
    by_name.load("callsheet_test_package")
    by_path.load("./callsheet_test_package")
    assert set(by_name) == {"one"}
    assert set(by_path) == {"two"}


def test_a_module_of_the_working_directory_is_found(tmp_path, monkeypatch):
    written(tmp_path, TASK.format(name="one"), "callsheet_test_module.py")
    monkeypatch.chdir(tmp_path)
    registry = Registry()
    registry.load("callsheet_test_module")
    assert set(registry) == {"one"}


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def f(:\n", r"--tasks .*jobs.py: invalid syntax \(.*jobs.py, line 1\)"),
        ("\n\n1 / 0\n", r"--tasks .*jobs.py: ZeroDivisionError: division by zero \(.*, line 3\)"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("x = 1\n", "there is no task at its top level"),
        (
            "from callsheet import task\n@task\nasync def nope(x: int): ...\n",
            r"TypeError: nope: a task is `async def .* got \(x: int\) \(.*jobs.py, line 2\)",
        ),
        ("x = '\0'", "source code string cannot contain null bytes"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused_in_one_sentence(tmp_path, code, sentence):
    with pytest.raises(RefusedToStart, match=sentence) as caught:
        Registry().load(written(tmp_path, code))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("no/such/file.py", "--tasks .*no/such/file.py: there is no such file"),
        ("nothing.of.that.name", "--tasks nothing.of.that.name: ModuleNotFoundError"),
        ("", "--tasks : ValueError"),
        (".", "--tasks .: "),
        ("string", "--tasks string: there is no task at its top level"),
    ],
)
def test_a_spec_that_names_nothing_is_refused(spec, sentence):
    with pytest.raises(RefusedToStart, match=sentence):
        Registry().load(spec)


def test_a_file_that_failed_is_read_anew_the_next_time(tmp_path):
    spec = written(tmp_path, "1 / 0\n")
    with pytest.raises(RefusedToStart):
        Registry().load(spec)
    registry = Registry()
    registry.load(written(tmp_path, TASK.format(name="one")))
    assert set(registry) == {"one"}


def test_installed_packages_offer_tasks_by_entry_point(tmp_path):
    info = tmp_path / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[callsheet.tasks]\nall = callsheet_test_plugin\nsingle = callsheet_test_plugin:two\n"
    )
    code = TASK.format(name="one") + TASK.format(name="two")
    written(tmp_path, code, "callsheet_test_plugin.py")
    sys.path.append(str(tmp_path))
    importlib.invalidate_caches()
    registry = Registry()
    registry.load_entry_points()
    assert set(registry) == {"one", "two"}
    (info / "entry_points.txt").write_text("[callsheet.tasks]\nbad = callsheet_test_plugin:three\n")
    with pytest.raises(RefusedToStart, match="The entry point bad = callsheet_test_plugin:three: "):
        Registry().load_entry_points()


def test_the_built_in_tasks_are_there():
    registry = Registry()
    registry.load_builtin()
    assert {"sleep", "counter", "http_get"} <= set(registry)
