"""Who may mount a share: an export policy of its own for each volume, a rule for each node.

One policy for all has cut off volumes that nobody meant, and rules once lost were never repaired
(backends-file 4): so a policy belongs to one volume, each attach compares what is there with what
is wanted, and a rule that volplug did not make is never deleted, but told about.

Taking the rule away is the fence. A controller caches who was let in, so the list of rules alone
proves little: the array is also asked when it last saw that client on that volume.
"""

import ipaddress
import re
from dataclasses import dataclass

from volplug.sdk import DeadlineExceeded, HeldElsewhere, Unavailable, deadline, wait_until
from volplug_netapp._client import Json, Ontap
from volplug_netapp._settings import NasConfig

_POLICIES = "/protocols/nfs/export-policies"
_CLIENTS = "/protocols/nfs/connected-clients"
_QUIET_S = 5
_PATIENCE_S = 60.0
_PERIOD = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the first one whose clients match decides."""

    index: int
    clients: tuple[str, ...]
    words: Json

    def only(self, node: str) -> bool:
        """Say whether the rule is for that node and nobody else."""
        return self.clients == (node,)

    def may_match(self, node: str) -> bool:
        """Say whether the node could be meant; names, domains and netgroups may mean anybody."""
        for client in self.clients:
            try:
                if ipaddress.ip_address(node) in ipaddress.ip_network(client, strict=False):
                    return True
            except ValueError:
                return True
        return False


class Rules:
    """The export policies of one SVM that are called as the FlexVols they belong to."""

    def __init__(self, ontap: Ontap, config: NasConfig) -> None:
        self._ontap, self._config = ontap, config

    def make(self, policy: str) -> None:
        """Make a policy without rules, which lets nobody in; one that is there is taken."""
        if self._id(policy) is None:
            body = {"name": policy, "svm": {"name": self._config.svm}}
            answer = self._ontap.call("POST", _POLICIES, body)
            if answer.refused and self._id(policy) is None:
                raise answer.error(f"make export policy {policy}")

    def delete(self, policy: str) -> None:
        """Delete a policy that no FlexVol has any more. Gone is success."""
        found = self._id(policy)
        if found is not None:
            answer = self._ontap.call("DELETE", f"{_POLICIES}/{found}")
            if not answer.missing:
                answer.or_raise(f"delete export policy {policy}")

    def of(self, policy: str) -> list[Rule]:
        """List a policy's rules; a policy that is gone has none."""
        found = self._id(policy)
        return [] if found is None else self._list(found)

    def admit(self, policy: str, node: str, *, read_only: bool, shared: bool) -> None:
        """Let a node in; raise HeldElsewhere if another one is, unless the volume is shared."""
        self.make(policy)
        wanted = {
            "protocols": ["nfs"],
            "ro_rule": ["sys"],
            "rw_rule": ["never" if read_only else "sys"],
            "superuser": ["sys"],
        }
        before = self.of(policy)
        _refuse_others(policy, before, node, shared=shared)
        ours = [rule for rule in before if rule.only(node)]
        if ours and all(rule.words == wanted for rule in ours):
            return
        self.expel(policy, node)
        place = f"{_POLICIES}/{self._id(policy)}/rules"
        body = {"clients": [{"match": node}], **wanted}
        self._ontap.call("POST", place, body).or_raise(f"let {node} into export policy {policy}")
        try:
            _refuse_others(policy, self.of(policy), node, shared=shared)
        except HeldElsewhere:
            self.expel(policy, node)
            raise

    def expel(self, policy: str, node: str) -> None:
        """Take away the rules that are for a node alone. None there is success.

        Rules are counted anew after each, for ONTAP may be changed by others meanwhile.
        """
        found = self._id(policy)
        while found is not None:
            own = next((rule for rule in self._list(found) if rule.only(node)), None)
            if own is None:
                return
            self._remove(f"{_POLICIES}/{found}/rules/{own.index}", policy)

    def cut_off(self, policy: str, flexvol: str, node: str) -> str:
        """Take a node's rules away and prove that it is let in by none and was not seen since."""
        self.expel(policy, node)
        for rule in self.of(policy):
            if rule.may_match(node):
                raise Unavailable(
                    f"{node} is not cut off: rule {rule.index} of export policy {policy} is for "
                    f"{', '.join(rule.clients)}, which volplug did not set; delete it on the array"
                )
        try:
            with deadline(_PATIENCE_S):
                wait_until(lambda: self._quiet(flexvol, node), f"{node} to be refused", poll_s=0.5)
        except DeadlineExceeded as error:
            raise Unavailable(
                f"{node} is not proven cut off: ONTAP removed its rule from export policy {policy}"
                f" but still sees it on FlexVol {flexvol}; try again, or stop the node"
            ) from error
        return (
            f"ONTAP lists no rule in export policy {policy} that lets {node} in, and has not seen "
            f"it on FlexVol {flexvol} for {_QUIET_S} s or longer"
        )

    def _quiet(self, flexvol: str, node: str) -> bool:
        found = self._ontap.records(
            _CLIENTS,
            **{"svm.name": self._config.svm, "volume.name": flexvol, "client_ip": node},
            fields="idle_duration",
        )
        return all(seconds(client["idle_duration"]) >= _QUIET_S for client in found)

    def _remove(self, place: str, policy: str) -> None:
        answer = self._ontap.call("DELETE", place)
        if not answer.missing:
            answer.or_raise(f"remove a rule from export policy {policy}")

    def _id(self, policy: str) -> str | None:
        query = {"name": policy, "svm.name": self._config.svm, "fields": "id"}
        found = self._ontap.first(_POLICIES, **query)
        return None if found is None else str(found["id"])

    def _list(self, policy_id: str) -> list[Rule]:
        fields = "index,clients,protocols,ro_rule,rw_rule,superuser"
        return [
            Rule(
                index=found["index"],
                clients=tuple(client["match"] for client in found.get("clients", [])),
                words={
                    name: found.get(name)
                    for name in ("protocols", "ro_rule", "rw_rule", "superuser")
                },
            )
            for found in self._ontap.records(f"{_POLICIES}/{policy_id}/rules", fields=fields)
        ]


def seconds(period: str) -> float:
    """Read an ISO 8601 period such as `PT1H5S`; what cannot be read was just now."""
    found = _PERIOD.fullmatch(period)
    if found is None:
        return 0.0
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def _refuse_others(policy: str, rules: list[Rule], node: str, *, shared: bool) -> None:
    others = sorted({client for rule in rules if not rule.only(node) for client in rule.clients})
    if others and not shared:
        raise HeldElsewhere(
            f"export policy {policy} lets in {', '.join(others)}; unmount it there, or fence that "
            "node"
        )
