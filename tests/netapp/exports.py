"""Export policies of the simulated array, their rules, and what they let a client do."""

import copy
import ipaddress

from tests.netapp.records import SVM, Json, RefusedError, State, known, own_svm, page


class Exports(State):
    """Their endpoints."""

    def list_policies(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/nfs/export-policies."""
        del body
        return page([{**one, "svm": {"name": SVM}} for one in self.policies.values()], query)

    def make_policy(self, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /protocols/nfs/export-policies."""
        del query
        known(body, "policy")
        own_svm(body)
        if body["name"] in [one["name"] for one in self.policies.values()]:
            raise RefusedError(409, "1703952", "policy exists")
        number = 1 + max(int(key) for key in self.policies)
        self.policies[str(number)] = {"id": number, "name": body["name"], "rules": []}
        return 201, {}

    def delete_policy(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """DELETE /protocols/nfs/export-policies/{id}."""
        del body, query
        name = self._policy(key)["name"]
        users = [one["nas"].get("export_policy", {}) for one in self.volumes.values()]
        if {"name": name} in users:
            raise RefusedError(409, "1703950", "policy is in use")
        del self.policies[key]
        return 200, {}

    def list_rules(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """GET /protocols/nfs/export-policies/{id}/rules."""
        del body
        rules = self._policy(key)["rules"]
        return page([{**one, "index": 1 + place} for place, one in enumerate(rules)], query)

    def make_rule(self, key: str, *, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        """POST /protocols/nfs/export-policies/{id}/rules."""
        del query
        known(body, "rule")
        self._policy(key)["rules"].append(copy.deepcopy(body))
        return 201, {}

    def delete_rule(
        self, key: str, index: str, *, body: Json, query: dict[str, str]
    ) -> tuple[int, Json]:
        """DELETE /protocols/nfs/export-policies/{id}/rules/{index}."""
        del body, query
        rules = self._policy(key)["rules"]
        if not 1 <= int(index) <= len(rules):
            raise RefusedError(404, "4", "entry doesn't exist")
        del rules[int(index) - 1]
        return 200, {}

    def may(self, path: str, node: str) -> str:
        """Tell what an NFS client may do at a junction path: nothing, read or write."""
        for one in self.volumes.values():
            if one.get("nas", {}).get("path") == path:
                name = one["nas"]["export_policy"]["name"]
                policy = next(p for p in self.policies.values() if p["name"] == name)
                for rule in policy["rules"]:
                    networks = [ipaddress.ip_network(client["match"]) for client in rule["clients"]]
                    if any(ipaddress.ip_address(node) in network for network in networks):
                        return "write" if rule["rw_rule"] == ["sys"] else "read"
        return "nothing"

    def _policy(self, key: str) -> Json:
        if key not in self.policies:
            raise RefusedError(404, "1703954", "export policy does not exist")
        return self.policies[key]
