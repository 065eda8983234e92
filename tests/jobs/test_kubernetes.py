"""The manifests of jobs/kubernetes: limits everywhere, names that agree, a CronJob that waits for its RayJob."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from network_atlas.cli.arguments import parse
from network_atlas.config.compose import compose

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "jobs" / "kubernetes"
KUBECTL = """#!/bin/sh
echo "$1" >> "$NOTES"
case "$*" in create*) exit $THERE ;; *jobStatus*) echo $ENDED ;; esac
"""


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


RAYJOB = manifests("rayjob.yaml")[0]
CRONJOB = manifests("cronjob.yaml")[0]
JOB = CRONJOB["spec"]["jobTemplate"]["spec"]
CLUSTER = RAYJOB["spec"]["rayClusterSpec"]


def pods(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the specification of each pod below `part`."""
    if isinstance(part, dict):
        if "containers" in part:
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from pods(inner)


WATCH = manifests("watch.yaml")[0]
PODS = [pod for manifest in (RAYJOB, CRONJOB, WATCH) for pod in pods(manifest)]


def test_there_are_a_head_a_worker_a_trigger_and_a_watch() -> None:
    assert [pod["containers"][0]["name"] for pod in PODS] == ["ray-head", "ray-worker", "trigger", "watch"]


def test_the_watch_ends_by_itself_one_at_a_time_and_its_words_are_read() -> None:
    assert WATCH["spec"]["concurrencyPolicy"] == "Forbid"
    (container,) = PODS[-1]["containers"]
    options = parse(container["args"])
    assert (options.name, options.once) == ("watch", True)
    assert options.copies == container["volumeMounts"][0]["mountPath"]
    assert compose(options.overrides).store.root.startswith("s3://")


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod["containers"][0]["name"])
def test_every_container_has_limits_and_few_rights(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        resources = container["resources"]
        assert set(resources["limits"]) == set(resources["requests"]) == {"cpu", "memory"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert ":" in container["image"]


def test_a_ray_job_ends_and_leaves_no_cluster() -> None:
    spec = RAYJOB["spec"]
    assert RAYJOB["apiVersion"] == "ray.io/v1"
    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] <= 3600
    assert 0 < spec["activeDeadlineSeconds"] < JOB["activeDeadlineSeconds"]
    assert spec["backoffLimit"] > 0


def test_the_cluster_asks_for_a_token_and_has_the_tested_ray() -> None:
    tested = re.search(r"^ray==(\S+)$", (ROOT / "scripts/constraints.txt").read_text(), re.MULTILINE)
    assert tested
    assert CLUSTER["rayVersion"] == tested[1]
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_one_night_at_a_time() -> None:
    assert CRONJOB["spec"]["concurrencyPolicy"] == "Forbid"
    assert CRONJOB["spec"]["timeZone"]
    assert JOB["template"]["spec"]["restartPolicy"] == "Never"
    assert JOB["backoffLimit"] == 0


def test_the_trigger_may_do_no_more_than_it_needs() -> None:
    account, role, binding = manifests("access.yaml")
    create, named = role["rules"]
    assert [rule["resources"] for rule in role["rules"]] == [["rayjobs"], ["rayjobs"]]
    assert create["verbs"] == ["create"]
    assert named["resourceNames"] == [RAYJOB["metadata"]["name"]]
    assert set(named["verbs"]) == {"get", "list", "watch", "delete"}
    names = {account["metadata"]["name"], binding["subjects"][0]["name"], JOB["template"]["spec"]["serviceAccountName"]}
    assert len(names) == 1
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_the_rayjob_reaches_the_cronjob() -> None:
    built = subprocess.run(["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True).stdout
    objects = {entry["kind"]: entry for entry in yaml.safe_load_all(built)}
    mounted = objects["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert mounted == objects["ConfigMap"]["metadata"]["name"]
    assert yaml.safe_load(objects["ConfigMap"]["data"]["rayjob.yaml"]) == RAYJOB
    assert {entry["metadata"]["namespace"] for entry in objects.values()} == {"atlas"}


@pytest.mark.parametrize(
    ("ended", "there", "code"), [("SUCCEEDED", 0, 0), ("FAILED", 0, 1), ("SUCCEEDED", 1, 0), ("", 0, 1)]
)
def test_the_trigger_waits_and_fails_with_the_run(ended: str, there: int, code: int, tmp_path: Path) -> None:
    """With a kubectl that records its arguments; `there`: a RayJob of that name exists already."""
    kubectl, notes = tmp_path / "kubectl", tmp_path / "notes"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "NOTES": str(notes), "ENDED": ended, "THERE": str(there)}
    done = subprocess.run(JOB["template"]["spec"]["containers"][0]["command"], env=environment, check=False)
    assert done.returncode == code
    assert notes.read_text().split() == ["create", *["get"] * there, "wait", "get", "get", "delete"]
