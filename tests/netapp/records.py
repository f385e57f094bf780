"""What the simulated array's endpoints have in common: its state, jobs, refusals and answers."""

import time
import uuid
from typing import Any

Json = dict[str, Any]
SVM = "svm1"
MIB = 1 << 20
KNOWN = {
    "volume": {
        "name", "svm", "aggregates", "size", "comment", "guarantee", "snapshot_policy", "space",
        "nas", "snapshot_directory_access_enabled", "autosize",
    },
    "clone": {"name", "svm", "clone"},
    "change": {"size", "comment", "nas", "autosize", "clone"},
    "lun": {"name", "svm", "os_type", "space"},
    "igroup": {"name", "svm", "protocol", "os_type", "initiators", "comment"},
    "login": {"svm", "initiator", "authentication_type", "chap"},
    "map": {"svm", "lun", "igroup"},
    "snapshot": {"name"},
    "policy": {"name", "svm"},
    "rule": {"clients", "protocols", "ro_rule", "rw_rule", "superuser"},
}  # fmt: skip


class RefusedError(Exception):
    """An error as ONTAP answers it."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words


class State:
    """Everything that is on the array."""

    def __init__(self, job_s: float = 0.0) -> None:
        self.job_s = job_s
        self.volumes: dict[str, Json] = {}
        self.snapshots: dict[str, Json] = {}
        self.luns: dict[str, Json] = {}
        self.igroups: dict[str, Json] = {}
        self.maps: list[Json] = []
        self.logins: list[Json] = []
        self.policies: dict[str, Json] = {"1": {"id": 1, "name": "default", "rules": []}}
        self.clients: list[Json] = []
        self.jobs: dict[str, Json] = {}
        self.target = "iqn.1992-08.com.netapp:sn.1234:vs.3"
        self.interfaces = [
            lif("10.0.0.12", "n2", ["data_iscsi"]),
            lif("10.0.0.11", "n1", ["data_iscsi"]),
            lif("10.0.0.13", "n3", ["data_iscsi"]),
            lif("127.0.0.1", "n1", ["data_nfs"]),
        ]

    def advance(self) -> None:
        """End the jobs whose time has come."""
        for job in self.jobs.values():
            if job["state"] == "running" and time.monotonic() >= job["ends"]:
                job["state"] = "failure" if "error" in job else "success"
                if job["volume"] in self.volumes:
                    self.volumes[job["volume"]]["hidden"] = False

    def job(self, volume: Json | None, error: tuple[str, str] | None) -> tuple[int, Json]:
        """Begin a job, which will fail with that error; a volume is not to be seen until then."""
        job: Json = {"uuid": new_uuid(), "state": "running", "ends": time.monotonic() + self.job_s}
        job["volume"] = volume["uuid"] if volume else ""
        if error:
            job["error"] = {"code": error[0], "message": error[1]}
        self.jobs[job["uuid"]] = job
        return 202, {"job": {"uuid": job["uuid"]}}

    def add_lun(self, volume: Json, size: int) -> None:
        """Put a LUN into a FlexVol, with a serial of its own and no maps."""
        made = {"uuid": new_uuid(), "name": f"/vol/{volume['name']}/lun0", "volume": volume["uuid"]}
        made |= {"svm": {"name": SVM}, "serial_number": uuid.uuid4().hex[:12]}
        self.luns[made["uuid"]] = {**made, "space": {"size": size}}

    def policy_of(self, body: Json) -> None:
        """Refuse an export policy that is not there."""
        name = body.get("nas", {}).get("export_policy", {}).get("name", "default")
        if name not in [one["name"] for one in self.policies.values()]:
            raise RefusedError(400, "1703954", f"export policy {name} does not exist")


def page(records: list[Json], query: dict[str, str]) -> tuple[int, Json]:
    """Answer with the records that match, two on a page, and the fields that were asked for."""
    query = dict(query)
    start = int(query.pop("start", 0))
    fields = query.pop("fields", "").split(",")
    found = [one for one in records if all(_matches(one, *item) for item in query.items())]
    body: Json = {"records": [_told(one, fields) for one in found[start : start + 2]]}
    if start + 2 < len(found):
        more = "&".join(f"{name}={value}" for name, value in query.items())
        body["_next"] = f"start={start + 2}&fields={','.join(fields)}&{more}"
    return 200, body


def _matches(record: Json, name: str, wanted: str) -> bool:
    value = _at(record, name)
    if isinstance(value, list):
        return wanted in value
    return str(value).lower() == wanted.lower() if isinstance(value, bool) else value == wanted


def _told(record: Json, fields: list[str]) -> Json:
    """Return keys, which always come, and what was asked for."""
    told: Json = {}
    for name in ("uuid", "name", "id", "index", *fields):
        value = _at(record, name)
        if value is not None:
            place = told
            *above, last = name.split(".")
            for part in above:
                place = place.setdefault(part, {})
            place[last] = value
    return told


def _at(record: Json, name: str) -> Any:
    value: Any = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def known(body: Json, kind: str) -> None:
    """Refuse a property that a request of that kind does not have."""
    for name in sorted(set(body) - KNOWN[kind]):
        raise RefusedError(400, "262179", f'Unexpected argument "{name}"')


def own_svm(body: Json) -> None:
    """Refuse whatever is not for the one SVM."""
    if body.get("svm") != {"name": SVM}:
        raise RefusedError(400, "2621462", "SVM does not exist")


def lif(address: str, node: str, services: list[str]) -> Json:
    """Return a logical interface at its home."""
    place = {"location": {"home_node": {"name": node}}, "svm": {"name": SVM}}
    return {"ip": {"address": address}, "enabled": True, "services": services, **place}


def new_uuid() -> str:
    """Return a UUID that nothing has yet."""
    return str(uuid.uuid4())
