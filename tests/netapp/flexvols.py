"""FlexVols, FlexClones and snapshots of the simulated array."""

import copy
import re
from datetime import UTC, datetime

from tests.netapp.records import MIB, SVM, Json, RefusedError, State, known, new_uuid, own_svm, page

AGGREGATES = ("small", "aggr1")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,202}")


class FlexVols(State):
    """Their endpoints."""

    def list_volumes(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /storage/volumes."""
        del body
        return page([one for one in self.volumes.values() if not one["hidden"]], query)

    def make_volume(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /storage/volumes, of a new one or of a clone."""
        del query
        cloned = "clone" in body
        known(body, "clone" if cloned else "volume")
        own_svm(body)
        if not _NAME.fullmatch(body["name"]):
            raise RefusedError(400, "917888", f"invalid volume name {body['name']}")
        for one in self.volumes.values():
            if one["name"] == body["name"]:
                if one["hidden"]:
                    raise RefusedError(409, "13107405", "volume is being created")
                raise RefusedError(409, "917526", "duplicate volume name")
        return self._clone(body) if cloned else self._fresh(body)

    def _fresh(self, body: Json) -> tuple[int, Json]:
        [aggregate] = body["aggregates"]
        if aggregate["name"] not in AGGREGATES:
            raise RefusedError(400, "787140", f"no aggregate {aggregate['name']}")
        if not 20 * MIB <= body["size"] <= 100 << 40:
            raise RefusedError(400, "917534", "size out of range")
        self.policy_of(body)
        if aggregate["name"] == "small" or "_nospace_" in body["name"]:
            return self.job(None, ("", "not enough space in aggregate"))
        volume = {**copy.deepcopy(body), "state": "online"}
        return self.job(self._add_volume(volume), None)

    def _clone(self, body: Json) -> tuple[int, Json]:
        parent = self._volume(body["clone"]["parent_volume"]["uuid"])
        wanted = body["clone"]["parent_snapshot"]["name"]
        snapshots = [one for one in self.snapshots.values() if one["volume"] == parent["uuid"]]
        if wanted not in [one["name"] for one in snapshots]:
            raise RefusedError(400, "1638407", f"no snapshot {wanted}")
        if "_nospace_" in body["name"]:
            return self.job(None, ("", "not enough space in aggregate"))
        kept = ("size", "comment", "aggregates", "svm", "state")
        volume = {name: copy.deepcopy(parent[name]) for name in kept}
        nas = {"export_policy": {"name": parent["nas"]["export_policy"]["name"]}}
        clone = {"parent_volume": {"uuid": parent["uuid"]}, "parent_snapshot": {"name": wanted}}
        made = self._add_volume({**volume, "name": body["name"], "nas": nas, "clone": clone})
        for lun in [one for one in self.luns.values() if one["volume"] == parent["uuid"]]:
            self.add_lun(made, lun["space"]["size"])
        return self.job(made, None)

    def change_volume(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """PATCH /storage/volumes/{uuid}."""
        del query
        volume = self._volume(key)
        known(body, "change")
        self.policy_of(body)
        if body.get("size", 0) > 100 << 40:
            return self.job(None, ("917534", "no space in aggregate"))
        if body.get("clone", {}).get("split_initiated"):
            volume.pop("clone", None)
        nas = {**volume.get("nas", {}), **body.get("nas", {})}
        changed = {name: value for name, value in body.items() if name not in ("clone", "nas")}
        volume.update(changed, nas=nas)
        return self.job(None, None)

    def delete_volume(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """DELETE /storage/volumes/{uuid}."""
        del body, query
        volume = self._volume(key)
        if any(_parent(one) == key for one in self.volumes.values()):
            return self.job(None, ("524615", "volume has one or more clones"))
        luns = [one for one in self.luns.values() if one["volume"] == volume["uuid"]]
        for lun in luns:
            self.maps = [one for one in self.maps if one["lun"] != lun["uuid"]]
            del self.luns[lun["uuid"]]
        held = [one for one in self.snapshots.values() if one["volume"] == key]
        for snapshot in held:
            del self.snapshots[snapshot["uuid"]]
        del self.volumes[key]
        return self.job(None, None)

    def list_snapshots(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /storage/volumes/{uuid or *}/snapshots."""
        del body
        found = [
            {**one, "volume": {"uuid": one["volume"]}, "svm": {"name": SVM}}
            for one in self.snapshots.values()
            if key in ("*", one["volume"])
        ]
        return page(found, query)

    def make_snapshot(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /storage/volumes/{uuid}/snapshots."""
        del query
        known(body, "snapshot")
        volume = self._volume(key)
        held = [one for one in self.snapshots.values() if one["volume"] == volume["uuid"]]
        if body["name"] in [one["name"] for one in held]:
            raise RefusedError(409, "525059", "snapshot exists")
        if len(body["name"]) > 255:
            raise RefusedError(400, "525060", "snapshot name is too long")
        made = {"uuid": new_uuid(), "name": body["name"], "volume": key}
        made["create_time"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.snapshots[made["uuid"]] = made
        return self.job(None, None)

    def delete_snapshot(
        self, key: str, snapshot: str, *, body: Json, query: dict[str, str]
    ) -> tuple[int, Json]:
        """DELETE /storage/volumes/{uuid}/snapshots/{uuid}."""
        del body, query
        if snapshot not in self.snapshots:
            raise RefusedError(404, "4", "entry doesn't exist")
        name = self.snapshots[snapshot]["name"]
        for one in self.volumes.values():
            if _parent(one) == key and one["clone"]["parent_snapshot"]["name"] == name:
                return self.job(None, ("1638555", "snapshot is busy"))
        del self.snapshots[snapshot]
        return self.job(None, None)

    def _add_volume(self, volume: Json) -> Json:
        made = {"nas": {}, **volume, "uuid": new_uuid(), "hidden": True}
        made["nas"].setdefault("export_policy", {"name": "default"})
        self.volumes[made["uuid"]] = made
        return made

    def _volume(self, key: str) -> Json:
        if key not in self.volumes or self.volumes[key]["hidden"]:
            raise RefusedError(404, "917927", "volume does not exist")
        return self.volumes[key]


def _parent(volume: Json) -> str:
    return str(volume.get("clone", {}).get("parent_volume", {}).get("uuid", ""))
