"""CHAP: what an initiator must know to log in to the SVM's iSCSI target.

ONTAP keeps it for each initiator, and never tells a password again: so one that is set already is
left as it is, and rotated on the array. The node's half stands in its iscsid.conf, not in what
attach answers, which is stored and shown.
"""

from volplug.sdk import InvalidOptions
from volplug_netapp._client import Ontap
from volplug_netapp._settings import SanConfig

_CREDENTIALS = "/protocols/san/iscsi/credentials"


class Logins:
    """The CHAP credentials of one SVM's initiators; nothing to do where none are configured."""

    def __init__(self, ontap: Ontap, config: SanConfig) -> None:
        if bool(config.chap_user) != (config.chap_password is not None):
            raise InvalidOptions("chap_user and chap_password belong together: set both or none")
        self._ontap, self._config = ontap, config

    def admit(self, initiator: str) -> None:
        """Have ONTAP ask an initiator for the secret. Set already is success."""
        secret = self._config.chap_password
        if secret is None or self._set(initiator):
            return
        body = {
            "svm": {"name": self._config.svm},
            "initiator": initiator,
            "authentication_type": "chap",
            "chap": {"inbound": {"user": self._config.chap_user, "password": secret.reveal()}},
        }
        answer = self._ontap.call("POST", _CREDENTIALS, body)
        if answer.refused and not self._set(initiator):
            raise answer.error(f"set CHAP for {initiator}")

    def _set(self, initiator: str) -> bool:
        """Say whether our CHAP is set; another way to log in is the operator's to change."""
        query = {"initiator": initiator, "svm.name": self._config.svm}
        found = self._ontap.first(
            _CREDENTIALS, **query, fields="authentication_type,chap.inbound.user"
        )
        if found is None:
            return False
        user = found.get("chap", {}).get("inbound", {}).get("user")
        if found.get("authentication_type", "").lower() != "chap" or user != self._config.chap_user:
            raise InvalidOptions(
                f"ONTAP lets {initiator} log in otherwise than as chap_user="
                f"{self._config.chap_user}: delete its iSCSI credentials on the array, or change "
                "chap_user"
            )
        return True
