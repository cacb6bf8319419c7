"""Manifests and units: what they name is there, and what KubeRay, Kubernetes and systemd document is kept to."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.settings import Settings
from prefect.settings.legacy import _get_settings_fields

from storage.recipes import load_recipe

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deployments" / "kubernetes"
SYSTEMD = ROOT / "deployments" / "systemd"
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
NOT_OBJECTS = {"kustomization.yaml", "nightly.yaml"}
OBJECTS: list[tuple[str, dict[str, Any]]] = [
    (file.name, item)
    for file in sorted(KUBERNETES.glob("*.yaml"))
    if file.name not in NOT_OBJECTS
    for item in yaml.safe_load_all(file.read_text())
]

# The fields of ray.io/v1 that we use, as KubeRay's API reference (1.7) lists them.
RAY_CLUSTER = {
    "rayVersion",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "authOptions",
    "headGroupSpec",
    "workerGroupSpecs",
}
RAY_JOB = {
    "entrypoint", "submissionMode", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "activeDeadlineSeconds",
    "backoffLimit", "rayClusterSpec",
}  # fmt: skip
HEAD = {"serviceType", "rayStartParams", "template"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def clusters() -> list[dict[str, Any]]:
    """The specs of Ray clusters, of a RayCluster and of a RayJob."""
    found = [item for _, item in OBJECTS if item["apiVersion"].startswith("ray.io/")]
    return [item["spec"].get("rayClusterSpec", item["spec"]) for item in found]


def groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that comes of the manifests: its file and its spec."""
    for file, item in OBJECTS:
        if item["apiVersion"].startswith("ray.io/"):
            spec = item["spec"].get("rayClusterSpec", item["spec"])
            yield from ((file, group["template"]["spec"]) for group in groups(spec))
        elif "template" in item.get("spec", {}):
            yield file, item["spec"]["template"]["spec"]


def containers() -> list[tuple[str, dict[str, Any]]]:
    return [(file, container) for file, pod in pods() for container in pod["containers"]]


def named(kind: str) -> set[str]:
    there = {item["metadata"]["name"] for _, item in OBJECTS if item["kind"] == kind and "name" in item["metadata"]}
    made = {item["name"] for item in KUSTOMIZATION["configMapGenerator"]} if kind == "ConfigMap" else set()
    return there | made


def test_every_manifest_is_applied_or_says_how() -> None:
    files = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    alone = {name for name in files if name not in KUSTOMIZATION["resources"]} - {"nightly.yaml"}
    assert set(KUSTOMIZATION["resources"]) <= files
    for name in alone:
        head = (KUBERNETES / name).read_text().partition("apiVersion")[0]
        assert re.search(rf"kubectl (apply|create) --namespace dataclaw --filename deployments/kubernetes/{name}", head)
        created = "generateName" in yaml.safe_load((KUBERNETES / name).read_text().split("\n---")[0])["metadata"]
        assert ("kubectl create" in head) == created, f"{name}: apply needs a name, create makes one"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_puts_registry_and_version_into_every_image() -> None:
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"image: (\S*dataclaw-\S+)", done.stdout)) == {
        f"registry.example.com/dataclaw-{name}:{VERSION}" for name in ("flow", "gpu", "worker")
    }
    assert {item["metadata"].get("namespace", "dataclaw") for item in yaml.safe_load_all(done.stdout)} == {"dataclaw"}


def test_images_are_ours_of_this_version_or_pinned() -> None:
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE))
    placed = {entry["name"]: entry["newTag"] for entry in KUSTOMIZATION["images"]}
    assert {name.removeprefix("dataclaw-") for name in placed} <= targets
    assert set(placed.values()) == {VERSION}
    for file, container in containers():
        image = container["image"]
        if file in KUSTOMIZATION["resources"] and image in placed:
            continue
        ours = re.fullmatch(r"registry\.example\.com/dataclaw-([a-z]+):(.+)", image)
        if ours:
            assert ours[1] in targets
            assert ours[2] == VERSION
        else:
            assert re.fullmatch(r"[a-z/-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}", image), image
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    for name in ("postgres", "vllm"):
        assert compose[name]["image"] in {container["image"] for _, container in containers()}


def test_ray_objects_have_the_fields_that_kuberay_knows() -> None:
    for _, item in OBJECTS:
        if item["apiVersion"].startswith("ray.io/"):
            assert item["apiVersion"] == "ray.io/v1"
            assert item["spec"].keys() <= {"RayCluster": RAY_CLUSTER, "RayJob": RAY_JOB}[item["kind"]]
    for spec in clusters():
        assert spec.keys() <= RAY_CLUSTER
        assert spec["headGroupSpec"].keys() <= HEAD
        for group in spec["workerGroupSpecs"]:
            assert group.keys() == GROUP
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        for group in groups(spec):
            assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "a map of strings"
        names = [group["groupName"] for group in spec["workerGroupSpecs"]]
        assert len(set(names)) == len(names)


def test_a_cluster_is_of_the_ray_in_its_images_and_asks_for_a_token() -> None:
    for spec in clusters():
        assert spec["rayVersion"] == PINS["ray"]
        assert spec["authOptions"] == {"mode": "token"}
        head = spec["headGroupSpec"]
        assert head["rayStartParams"]["num-cpus"] == "0", "work must not take the head down"
        (container,) = head["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"gcs-server": 6379, "dashboard": 8265, "client": 10001}


def test_where_commands_are_ours_every_group_has_one_that_starts_ray() -> None:
    (cluster,) = [item for _, item in OBJECTS if item["kind"] == "RayCluster"]
    assert cluster["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    for group in groups(cluster["spec"]):
        (container,) = group["template"]["spec"]["containers"]
        said = [*container["command"], *container["args"]]
        assert "$KUBERAY_GEN_RAY_START_CMD" in said[-1] or said[:2] == ["bash", "/app/docker/with-ray.sh"]
    assert "KUBERAY_GEN_RAY_START_CMD" in (ROOT / "docker/with-ray.sh").read_text()
    (job,) = [item for _, item in OBJECTS if item["kind"] == "RayJob"]
    for group in groups(job["spec"]["rayClusterSpec"]):
        assert "command" not in group["template"]["spec"]["containers"][0], "KubeRay's own"


def test_every_pool_has_a_worker_that_offers_no_cpus() -> None:
    pools = {pool["name"] for pool in yaml.safe_load((ROOT / "deployments/work_pools.yaml").read_text())}
    served = set()
    for spec in clusters():
        for group in spec["workerGroupSpecs"]:
            (container,) = group["template"]["spec"]["containers"]
            if "worker" in container.get("args", ()):
                served.add(container["args"][container["args"].index("--pool") + 1])
                assert group["rayStartParams"]["num-cpus"] == "0"
    assert served == pools


def test_no_pod_runs_as_root_or_may_become_root() -> None:
    for file, pod in pods():
        if file != "vllm.yaml":  # vLLM's own image expects root
            assert pod["securityContext"]["runAsNonRoot"] is True, file
            assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert "memory" in container["resources"]["limits"]
            if container["name"].startswith("ray-"):  # Ray offers what the limit says, the scheduler what is requested
                assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_no_pod_takes_variables_from_services() -> None:
    """A service named vllm would set VLLM_PORT to an address, and vLLM refuses to start."""
    assert "vllm" in named("Service")
    for file, pod in pods():
        assert pod["enableServiceLinks"] is False, file


def test_what_is_mounted_and_read_is_there() -> None:
    documented = set(re.findall(r"kubectl create secret generic (?:--\S+ \S+ )*([a-z-]+)", INSTALL))
    assert documented == {"dataclaw-secrets", "dataclaw-workers"}
    for file, pod in pods():
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in named("ConfigMap")
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in named("PersistentVolumeClaim")
        for container in pod["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            assert mounted - {"data"} == volumes.keys(), file
            for source in container.get("envFrom", ()):
                if "secretRef" in source:
                    assert source["secretRef"]["name"] in documented
                else:
                    assert source["configMapRef"]["name"] in named("ConfigMap")
            for variable in container.get("env", ()):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference:
                    assert reference["name"] in documented
                    assert f"--from-literal={reference['key']}=" in INSTALL
                else:
                    assert "PASSWORD" not in variable["name"], "no secret stands in a file"


def test_prefect_reads_every_variable_of_its_own() -> None:
    known = set(_get_settings_fields(Settings))
    given = {variable["name"] for _, container in containers() for variable in container.get("env", ())}
    given |= {name for _, item in OBJECTS if item["kind"] == "ConfigMap" for name in item["data"]}
    assert {name for name in given if name.startswith("PREFECT_")} <= known
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" in given


def test_services_lead_to_ports_of_pods_and_addresses_to_services() -> None:
    services = {item["metadata"]["name"]: item["spec"] for _, item in OBJECTS if item["kind"] == "Service"}
    labelled = {
        item["spec"]["template"]["metadata"]["labels"]["app"]: item["spec"]["template"]["spec"]["containers"][0]
        for _, item in OBJECTS
        if item["kind"] in {"Deployment", "StatefulSet"}
    }
    for service in services.values():
        container = labelled[service["selector"]["app"]]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        (port,) = service["ports"]
        assert ports[port["name"]] == port["port"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            wanted = container.get(probe, {}).get("httpGet", {}).get("port")
            assert wanted is None or wanted in ports
    (configuration,) = [item for _, item in OBJECTS if item["metadata"].get("name") == "dataclaw" and "data" in item]
    assert configuration["data"]["PREFECT_API_URL"] == "http://prefect-server:4200/api"
    assert services["prefect-server"]["ports"][0]["port"] == 4200
    assert "http://vllm:8000/v1" in (KUBERNETES / "vllm.yaml").read_text()


def test_nothing_is_reached_from_outside() -> None:
    assert not {item["kind"] for _, item in OBJECTS} & {"Ingress", "Gateway", "HTTPRoute"}
    for _, item in OBJECTS:
        if item["kind"] == "Service":
            assert item["spec"].get("type", "ClusterIP") == "ClusterIP"
    for spec in clusters():
        assert spec["headGroupSpec"].get("serviceType", "ClusterIP") == "ClusterIP"
    (policy,) = [item for _, item in OBJECTS if item["kind"] == "NetworkPolicy"]
    assert policy["spec"]["podSelector"] == {}
    assert policy["spec"]["ingress"][0] == {"from": [{"podSelector": {}}]}


def test_the_recipe_uses_the_cluster_and_its_entrypoint_names_it() -> None:
    placement = load_recipe(KUBERNETES / "nightly.yaml").placement
    assert placement.ray_address == "auto"
    assert placement.catalog == "postgresql+psycopg://dataclaw@postgres/catalog"
    (job,) = [item for _, item in OBJECTS if item["kind"] == "RayJob"]
    assert job["spec"]["entrypoint"] == "dataclaw build /recipes/nightly.yaml"
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert generated["files"] == ["nightly.yaml"]


UNITS = {file.name: file.read_text() for file in sorted(SYSTEMD.glob("*.service"))}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_what_is_installed_as_a_user_of_its_own(name: str) -> None:
    unit = UNITS[name]
    (started,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    for path in re.findall(r"/opt/dataclaw/(\S+)", started):
        assert path.startswith(".venv/bin/") or (ROOT / path).exists(), path
    assert re.search(r"^User=(?!root)", unit, re.MULTILINE)
    assert re.search(r"^Environment=PYTHONPATH=/opt/dataclaw ", unit, re.MULTILINE)
    assert re.search(r"^Restart=always$", unit, re.MULTILINE)
    assert not re.search(r"PASSWORD|TOKEN|SECRET", unit)
    examples = {file.name.removesuffix(".example") for file in SYSTEMD.glob("*.env.example")}
    assert {Path(file).name for file in re.findall(r"^EnvironmentFile=(.+)$", unit, re.MULTILINE)} <= examples


def test_files_of_variables_hold_no_secret_and_only_what_is_read() -> None:
    known = set(_get_settings_fields(Settings))
    for file in SYSTEMD.glob("*.env.example"):
        for line in file.read_text().splitlines():
            name, _, value = line.lstrip("#").partition("=")
            if re.fullmatch(r"[A-Z_]+", name):
                assert not name.startswith("PREFECT_") or name in known, name
                assert not re.search(r"PASSWORD|TOKEN|_KEY", name) or value == "", name


def test_units_bind_to_this_machine_alone() -> None:
    assert "PREFECT_SERVER_API_HOST=127.0.0.1" in (SYSTEMD / "server.env.example").read_text()
    assert "--dashboard-host=127.0.0.1" in UNITS["ray-head.service"]
    assert "RAY_HEAD=127.0.0.1:6379" in (SYSTEMD / "dataclaw.env.example").read_text()
    assert "--port=6379" in UNITS["ray-head.service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """What they start is not installed where tests run: only that is left aside."""
    for name, unit in UNITS.items():
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
        (tmp_path / name.replace("@", "@dataclaw-cpu")).write_text(text)
    files = [str(file) for file in tmp_path.iterdir()]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line], done.stderr
