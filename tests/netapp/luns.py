"""LUNs, initiator groups and LUN maps of the simulated array."""

import copy
import re

from tests.netapp.records import Json, RefusedError, State, known, new_uuid, own_svm, page


class Luns(State):
    """Their endpoints."""

    def list_luns(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /storage/luns."""
        del body
        return page(list(self.luns.values()), query)

    def make_lun(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /storage/luns."""
        del query
        known(body, "lun")
        own_svm(body)
        match = re.fullmatch(r"/vol/(\w+)/lun0", body["name"])
        found = [
            one for one in self.volumes.values()
            if match and one["name"] == match[1] and not one["hidden"]
        ]  # fmt: skip
        if not found:
            raise RefusedError(404, "917927", "volume does not exist")
        if body["name"] in [one["name"] for one in self.luns.values()]:
            raise RefusedError(409, "5374242", "LUN already exists")
        size = body["space"]["size"]
        if "_fulllun_" in body["name"] or size > found[0]["size"]:
            raise RefusedError(400, "5440509", "no space for the LUN")
        self.add_lun(found[0], size)
        return 201, {}

    def change_lun(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """PATCH /storage/luns/{uuid}, to another size."""
        del query
        lun, size = self._lun(key), body["space"]["size"]
        if size < lun["space"]["size"]:
            raise RefusedError(400, "5374892", "reducing the size is not allowed")
        if size == lun["space"]["size"]:
            raise RefusedError(400, "1254226", "same size")
        if size > self.volumes[lun["volume"]]["size"]:
            raise RefusedError(400, "5440509", "no space for the LUN")
        lun["space"]["size"] = size
        return 200, {}

    def delete_lun(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """DELETE /storage/luns/{uuid}."""
        del body
        if query:
            raise RefusedError(400, "262197", "a driver must never delete what is mapped")
        if any(one["lun"] == self._lun(key)["uuid"] for one in self.maps):
            raise RefusedError(409, "1254197", "LUN is mapped")
        del self.luns[key]
        return 200, {}

    def list_igroups(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/san/igroups."""
        del body
        return page(list(self.igroups.values()), query)

    def make_igroup(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /protocols/san/igroups."""
        del query
        known(body, "igroup")
        own_svm(body)
        if len(body["name"]) > 96 or not all(one["name"] for one in body["initiators"]):
            raise RefusedError(400, "5374021", "invalid igroup name")
        if body["name"] in [one["name"] for one in self.igroups.values()]:
            raise RefusedError(409, "5374023", "igroup exists")
        made = {**copy.deepcopy(body), "uuid": new_uuid()}
        self.igroups[made["uuid"]] = made
        return 201, {}

    def delete_igroup(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """DELETE /protocols/san/igroups/{uuid}."""
        del body, query
        if key not in self.igroups:
            raise RefusedError(404, "5374852", "igroup does not exist")
        if any(one["igroup"] == key for one in self.maps):
            raise RefusedError(409, "1254213", "LUNs are mapped to the igroup")
        del self.igroups[key]
        return 200, {}

    def list_maps(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/san/lun-maps."""
        del body
        shown = []
        for one in self.maps:
            group = self.igroups[one["igroup"]]
            told = {"name": group["name"], "uuid": group["uuid"]}
            told["initiators"] = self._members(one["igroup"])
            lun = {"uuid": one["lun"], "name": self.luns[one["lun"]]["name"]}
            nodes = {"reporting_nodes": [{"name": "n1"}, {"name": "n2"}]}
            shown.append(
                {"lun": lun, "igroup": told, "logical_unit_number": one["number"], **nodes}
            )
        return page(shown, query)

    def make_map(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /protocols/san/lun-maps."""
        del query
        known(body, "map")
        own_svm(body)
        luns = [one for one in self.luns.values() if one["name"] == body["lun"]["name"]]
        groups = [one for one in self.igroups.values() if one["name"] == body["igroup"]["name"]]
        if not luns:
            raise RefusedError(404, "5374875", "LUN does not exist")
        if not groups:
            raise RefusedError(404, "5374852", "igroup does not exist")
        lun, group = luns[0]["uuid"], groups[0]["uuid"]
        for one in self.maps:
            if one["lun"] == lun and one["igroup"] == group:
                raise RefusedError(409, "1254207", "LUN already mapped to this group")
            if one["lun"] == lun and set(self._members(group)) & set(self._members(one["igroup"])):
                raise RefusedError(409, "1254193", "initiator would see the LUN twice")
        taken = {one["number"] for one in self.maps if one["igroup"] == group}
        number = next(free for free in range(4096) if free not in taken)
        self.maps.append({"lun": lun, "igroup": group, "number": number})
        return 201, {}

    def delete_map(
        self, lun: str, group: str, *, body: Json, query: dict[str, str]
    ) -> tuple[int, Json]:
        """DELETE /protocols/san/lun-maps/{lun}/{igroup}."""
        del body, query
        left = [one for one in self.maps if (one["lun"], one["igroup"]) != (lun, group)]
        if len(left) == len(self.maps):
            raise RefusedError(404, "5374922", "LUN map does not exist")
        self.maps = left
        return 200, {}

    def list_logins(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/san/iscsi/credentials; passwords are never asked for."""
        del body
        return page(self.logins, query)

    def make_login(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /protocols/san/iscsi/credentials."""
        del query
        known(body, "login")
        own_svm(body)
        if body["initiator"] in [one["initiator"] for one in self.logins]:
            raise RefusedError(409, "", "credentials exist")
        self.logins.append(copy.deepcopy(body))
        return 201, {}

    def writers(self, name: str) -> list[str]:
        """Tell who can reach the LUN in a FlexVol now."""
        luns = {one["uuid"] for one in self.luns.values() if one["name"] == f"/vol/{name}/lun0"}
        held = [one for one in self.maps if one["lun"] in luns]
        return sorted(name for one in held for name in self._members(one["igroup"]))

    def _members(self, group: str) -> list[str]:
        return [one["name"] for one in self.igroups[group]["initiators"]]

    def _lun(self, key: str) -> Json:
        if key not in self.luns:
            raise RefusedError(404, "5374875", "LUN does not exist")
        return self.luns[key]
