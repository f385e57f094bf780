"""The doctor's look at a real cluster: each member, the majority, the alarms."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.etcd.cluster import Cluster
from volplug import etcd
from volplug.deadline import deadline, wait_until
from volplug.errors import Exhausted
from volplug.etcd.client import Client
from volplug.etcd.upkeep import near_quota, old_version

Findings = dict[str, dict[str, Any]]


@pytest.fixture
def doctor(tmp_path: Path) -> Callable[[Cluster], Findings]:
    """Ask `volplug doctor` about a cluster; what it finds, by what it looked at."""

    def ask(cluster: Cluster) -> Findings:
        done = subprocess.run(
            [sys.executable, "-m", "volplug.cli", "doctor", "--json"],
            env={
                "PATH": os.environ["PATH"],
                "DOCKER_HOST": str(tmp_path / "no-engine.sock"),
                "VOLPLUG_SOCKET": str(tmp_path / "v.sock"),
                "VOLPLUG_STATE_DIR": str(tmp_path / "state"),
                "VOLPLUG_STORE__KIND": "etcd",
                "VOLPLUG_STORE__ENDPOINTS": str(cluster.access).replace(", ", ","),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        found = {one["what"]: one for one in json.loads(done.stdout)}
        broken = any(one["state"] == "MISSING" for one in found.values())
        assert done.returncode == int(broken), done.stderr
        return {what: one for what, one in found.items() if "etcd" in what}

    return ask


def problems(cluster: Cluster) -> dict[str, str]:
    """Look without the command; what is wrong, by what was looked at."""
    return {one.what: one.problem for one in etcd.check(cluster.access, prefix="/volplug/v1")}


def states(found: Findings) -> dict[str, str]:
    """Return the state of each finding."""
    return {what: one["state"] for what, one in found.items()}


def test_members_that_go_one_after_the_other(
    doctor: Callable[[Cluster], Findings], make_cluster: Callable[..., Cluster]
) -> None:
    """All three answer; one that does not is named; with two gone there is no majority."""
    cluster = make_cluster()
    cluster.wait()
    first, second, third = (f"etcd at {member.url}" for member in cluster.members)
    well = states(doctor(cluster))
    assert [well[one] for one in (first, second, third)] == ["OK"] * 3
    assert well["majority of etcd's members"] == well["etcd without alarms"] == "OK"
    assert set(well.values()) <= {"OK", "OPTIONAL"}  # an old version is no fault

    cluster.members[0].kill()
    cluster.leader()
    one_gone = problems(cluster)
    assert cluster.members[0].url in one_gone[first]
    assert [one_gone[one] for one in (second, third, "majority of etcd's members")] == [""] * 3

    cluster.members[1].kill()
    two_gone = problems(cluster)
    assert two_gone[first]
    assert two_gone[second]
    assert "bring back more than half" in two_gone["majority of etcd's members"]


def test_alarm(make_cluster: Callable[..., Cluster]) -> None:
    """A member that has no space left is told of, with what mends it."""
    cluster = make_cluster(size=1, options=("--quota-backend-bytes", "200000"))
    cluster.wait()
    client = Client(cluster.access)
    put = {"key": "YQ==", "value": "YWFh" * 20_000}
    with deadline(30.0):
        wait_until(lambda: _refused(client, put), "a full database", poll_s=0.01)
    alarm = problems(cluster)["etcd without alarms"]
    assert "NOSPACE" in alarm
    assert "etcdctl alarm disarm" in alarm


def _refused(client: Client, put: dict[str, str]) -> bool:
    try:
        client.ask("a key", "kv/put", put)
    except Exhausted:
        return True
    return False


@pytest.mark.parametrize(
    ("version", "old"),
    [("3.4.30", True), ("3.4.31", False), ("3.5.12", True), ("3.5.13", False), ("3.6.0", False)],
)
def test_version(version: str, *, old: bool) -> None:
    """A version with faults that we work around is told, and one without is not."""
    assert bool(old_version({"version": version})) == old


def test_space() -> None:
    """A database near etcd's own quota is told in time."""
    assert near_quota({"dbSize": str(2**30)}) == ""
    assert "near its default quota" in near_quota({"dbSize": str(7 * 2**28)})
