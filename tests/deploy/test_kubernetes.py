"""The manifests are valid, fit together and the settings, and ask for no right that they do not need."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from callsheet import __version__
from callsheet.service import AFTER_DRAIN
from callsheet.settings_file import load_settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = {"sqlite": "StatefulSet", "postgres": "Deployment"}
VERSIONS = ("1.31", kubernetes_validate.latest_version())


@cache
def resources(folder):
    """Return all resources of a kustomization by kind, as `kustomize build` does where it lists resources alone."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert listed.keys() == {"apiVersion", "kind", "resources"}
    found = {}
    for name in listed["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            found |= resources(path)
        else:
            [one] = yaml.safe_load_all(path.read_text())
            found[one["kind"]] = one
    assert {path.name for path in folder.iterdir()} - {"kustomization.yaml"} <= {
        Path(name).name for name in listed["resources"]
    }
    return found


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    """Return the resources of each overlay."""
    return resources(FOLDER / "overlays" / request.param)


@pytest.fixture
def pod(overlay):
    """Return what an overlay says about its pod."""
    [workload] = [overlay[kind] for kind in OVERLAYS.values() if kind in overlay]
    return workload["spec"]["template"]["spec"]


@pytest.fixture
def container(pod):
    """Return the only container."""
    [container] = pod["containers"]
    return container


@pytest.fixture
def settings(pod, container, tmp_path):
    """Return the settings that the container gets, with what its secrets hold."""
    given = {one["name"]: one["value"] for one in container["env"]}
    for name, value in given.items():
        if name.endswith("_FILE"):
            assert value.startswith("/run/secrets/callsheet/")
            given[name] = str(tmp_path / Path(value).name)
    (tmp_path / "database").write_text("postgresql://callsheet@database/callsheet")
    return load_settings({}, {"CALLSHEET_DATABASE": "sqlite:////data/callsheet.db"} | given).settings


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_resource(overlay, version):
    for resource in overlay.values():
        kubernetes_validate.validate(resource, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(overlay["Service"] | {"spec": {"porst": []}}, version, strict=True)


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kustomize comes with kubectl, which is not on this machine"
)
@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_what_this_test_reads(name):
    built = subprocess.run(
        ["kubectl", "kustomize", FOLDER / "overlays" / name], capture_output=True, text=True, check=True
    ).stdout
    assert {one["kind"]: one for one in yaml.safe_load_all(built)} == resources(FOLDER / "overlays" / name)


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kustomize comes with kubectl, which is not on this machine"
)
@pytest.mark.parametrize("name", OVERLAYS)
def test_the_kustomization_of_the_how_to_builds(name, tmp_path):
    page = (FOLDER.parents[1] / "docs/how-to/deploy-on-kubernetes.md").read_text()
    text = page.split("```yaml\n")[1].split("```")[0]
    shutil.copytree(FOLDER, tmp_path / "callsheet/deploy/kubernetes")
    (tmp_path / "own").mkdir()
    (tmp_path / "own/kustomization.yaml").write_text(text.replace("overlays/sqlite", f"overlays/{name}"))
    built = subprocess.run(
        ["kubectl", "kustomize", tmp_path / "own"], capture_output=True, text=True, check=True
    ).stdout
    assert f"image: registry.example.org/callsheet:{__version__}" in built
    assert {one["metadata"]["namespace"] for one in yaml.safe_load_all(built)} == {"callsheet"}


def test_all_parts_mean_the_same_pod(overlay):
    [kind] = {*OVERLAYS.values()} & overlay.keys()
    workload = overlay[kind]["spec"]
    labels = workload["template"]["metadata"]["labels"]
    assert workload["selector"]["matchLabels"] == labels
    assert overlay["Service"]["spec"]["selector"] == labels
    assert overlay["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert overlay["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert workload["template"]["spec"]["serviceAccountName"] == overlay["ServiceAccount"]["metadata"]["name"]
    assert overlay["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert {one["metadata"]["name"] for one in overlay.values()} == {"callsheet"}


def test_there_is_never_a_second_process(overlay):
    [kind] = {*OVERLAYS.values()} & overlay.keys()
    spec = overlay[kind]["spec"]
    assert spec["replicas"] == 1
    assert spec.get("strategy", {"type": "Recreate"}) == {"type": "Recreate"}  # a StatefulSet does so by itself


def test_the_overlays_differ_in_the_database_alone():
    pods = [resources(FOLDER / "overlays" / name)[kind]["spec"]["template"] for name, kind in OVERLAYS.items()]
    texts = [json.loads(json.dumps(pod)) for pod in pods]
    for text in texts:
        [container] = text["spec"]["containers"]
        container["env"] = [one for one in container["env"] if "DATABASE" not in one["name"]]
        text["spec"]["volumes"] = [one for one in text["spec"]["volumes"] if one["name"] != "data"]
    assert texts[0] == texts[1]


def test_the_pod_is_what_the_restricted_standard_asks_for(pod, container):
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["fsGroup"] == 10001  # or it could not write to its volume
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in pod["volumes"])
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/data", "/tmp"}


def test_its_probes_are_those_of_the_service(container):
    paths = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert paths == {
        "startup": {"path": "/readyz", "port": "http"},
        "readiness": {"path": "/readyz", "port": "http"},
        "liveness": {"path": "/livez", "port": "http"},
    }
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_kubernetes_waits_longer_than_the_drain(pod, settings):
    assert pod["terminationGracePeriodSeconds"] > settings.drain + AFTER_DRAIN + 5


def test_it_needs_a_key_and_gets_its_database_from_where_it_lies(overlay, pod, settings):
    assert settings.api_key_file.endswith("/api-key")
    assert not settings.insecure_no_auth
    [secret] = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert (secret["secretName"], secret.get("optional")) == ("callsheet", None)  # without it no pod starts
    assert "Secret" not in overlay  # nobody runs with a key that is known from here
    known = "sqlite:////data/callsheet.db" if "StatefulSet" in overlay else "postgresql://callsheet@database/callsheet"
    assert settings.database == known


def test_the_image_is_that_of_this_version(container):
    assert container["image"] == f"callsheet:{__version__}"
