"""What is handed to KubeRay: by the schemas of Kubernetes and KubeRay, by Ray's own reading of it, and by our rules."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.kuberay import autoscaling_config

from em.store.provenance import ROOT
from sweeps.submit import read

FOLDER = ROOT / "cluster" / "kuberay"
HERE = Path(__file__).parent
DEFINITIONS = (
    json.loads((HERE / "kubernetes.json").read_text())["$defs"]
    | (yaml.safe_load((HERE / "kuberay.yaml").read_text())["$defs"])
)
Resource = dict[str, Any]


def resources(name: str) -> list[Resource]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def check(resource: Resource) -> None:
    """Raises jsonschema's or Ray's error where a cluster would refuse it or could not scale it."""
    schema = {"$ref": f"#/$defs/{resource['kind']}", "$defs": DEFINITIONS}
    jsonschema.validate(resource, schema, cls=jsonschema.Draft202012Validator)
    if resource["kind"].startswith("Ray"):
        ray_cluster = {"metadata": {"name": "em", "namespace": "default"}, "spec": cluster_spec(resource)}
        autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster)
        for group in workers(resource):
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"], "replicas out of bounds"


def cluster_spec(resource: Resource) -> Resource:
    return resource["spec"].get("rayClusterSpec", resource["spec"])


def workers(resource: Resource) -> list[Resource]:
    return cluster_spec(resource)["workerGroupSpecs"]


def pods(resource: Resource) -> Iterator[Resource]:
    """The specs of head, workers and, where there is one, submitter."""
    yield from (group["template"]["spec"] for group in [cluster_spec(resource)["headGroupSpec"], *workers(resource)])
    if "submitterPodTemplate" in resource["spec"]:
        yield resource["spec"]["submitterPodTemplate"]["spec"]


@pytest.fixture(params=["rayjob.yaml", "raycluster.yaml"])
def resource(request: pytest.FixtureRequest) -> Resource:
    (only,) = resources(request.param)
    return only


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycluster.yaml", "volumes.yaml"])
def test_it_is_what_kubernetes_and_kuberay_know(name):
    for resource in resources(name):
        check(resource)


def worker(resource: Resource) -> Resource:
    return workers(resource)[0]


def container(resource: Resource) -> Resource:
    return worker(resource)["template"]["spec"]["containers"][0]


MISTAKES: dict[str, Callable[[Resource], object]] = {
    "'4' is not of type 'integer'": lambda it: worker(it).update(maxReplicas="4"),
    "'maxReplicaz' was unexpected": lambda it: worker(it).update(maxReplicaz=worker(it)["maxReplicas"]),
    "'maxReplicas' is a required property": lambda it: worker(it).pop("maxReplicas"),
    "'image' is a required property": lambda it: container(it).pop("image"),
    "'volumeMount' was unexpected": lambda it: container(it).update(volumeMount=[]),
    "0 is not of type 'string'": lambda it: worker(it)["rayStartParams"].update({"num-cpus": 0}),
    "-1 is less than the minimum": lambda it: worker(it).update(minReplicas=-1),
    "smaller than the sum of": lambda it: worker(it).update(minReplicas=99),
    "replicas out of bounds": lambda it: worker(it).update(replicas=99),
    "'headGroupSpec' is a required property": lambda it: cluster_spec(it).pop("headGroupSpec"),
    "'on' is not one of": lambda it: cluster_spec(it)["authOptions"].update(mode="on"),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_a_mistake_is_found(resource, said):
    changed = json.loads(json.dumps(resource))  # no part of it is shared, as anchors share them
    MISTAKES[said](changed)
    with pytest.raises((jsonschema.ValidationError, ValueError, AssertionError)) as raised:
        check(changed)
    assert said in " ".join(str(raised.value).split())


def test_a_mistake_of_a_job_is_found():
    (job,) = resources("rayjob.yaml")
    job["spec"]["shutdownAfterJobFinishes"] = False  # with a time to live, which needs it
    with pytest.raises(jsonschema.ValidationError, match="True was expected"):
        check(job)


def test_ray_asks_for_a_token_and_is_not_reached_from_outside(resource):
    assert cluster_spec(resource)["authOptions"] == {"mode": "token"}
    head = cluster_spec(resource)["headGroupSpec"]
    assert head["serviceType"] == "ClusterIP"
    assert "enableIngress" not in head


def test_pods_run_without_root(resource):
    for pod in pods(resource):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 1000  # of cluster/Dockerfile
        assert "serviceAccountName" not in pod
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_lanes_find_memory_store_and_cache(resource):
    for pod in list(pods(resource))[:2]:
        mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounts == {"/store": "store", "/cache": "cache", "/dev/shm": "shm"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
        claims = {claim["metadata"]["name"]: claim for claim in resources("volumes.yaml")}
        for name in ("store", "cache"):
            claim = claims[volumes[name]["persistentVolumeClaim"]["claimName"]]
            assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_both_files_have_the_same_pods_and_our_ray():
    job, standing = (resources(name)[0] for name in ("rayjob.yaml", "raycluster.yaml"))
    assert list(pods(job))[:2] == list(pods(standing))
    assert cluster_spec(job)["rayVersion"] == cluster_spec(standing)["rayVersion"] == ray.__version__


def test_the_job_runs_a_sweep():
    (job,) = resources("rayjob.yaml")
    python, module, name, *words = job["spec"]["entrypoint"].split()
    assert [python, module, name] == ["python", "-m", "sweeps"]
    config = read(words)
    assert config.cluster.gpus_per_lane == 1
    assert config.cluster.address == "auto"
    assert config.store == "/store"
