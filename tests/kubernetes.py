"""The manifests of `deploy/kubernetes/`, read."""

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[1] / "deploy/kubernetes"
Json = dict[str, Any]


@cache
def manifests() -> list[Json]:
    """Every object that is applied, in order; read once, and not to be changed."""
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((FOLDER / name).read_text())]


def of_kind(kind: str) -> dict[str, Json]:
    """Objects of a kind by their name."""
    return {document["metadata"]["name"]: document for document in manifests() if document["kind"] == kind}


def workloads() -> dict[str, Json]:
    """Templates of pods by the name of the component, the job that migrates among them."""
    found = [*of_kind("Deployment").values(), *of_kind("Job").values()]
    return {container_of(each["spec"]["template"])["name"]: each["spec"]["template"] for each in found}


def container_of(template: Json) -> Json:
    """The one container of a pod."""
    (container,) = template["spec"]["containers"]
    found: Json = container
    return found


def environment_of(template: Json, secrets: dict[tuple[str, str], str]) -> dict[str, str]:
    """What a pod's process is told, with these secrets by name and key."""
    container = container_of(template)
    told: dict[str, str] = {}
    for source in container["envFrom"]:
        told |= of_kind("ConfigMap")[source["configMapRef"]["name"]]["data"]
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        told[variable["name"]] = secrets[reference["name"], reference["key"]] if reference else variable["value"]
    return told
