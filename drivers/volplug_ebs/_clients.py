"""boto3's clients, one for each patience, because a client's time limits are fixed when it is made.

Making one costs a third of a second, nearly all of it for reading boto's description of EC2: that
is shared.
"""

import functools
import threading
from typing import Any

import boto3.session
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from volplug.sdk import Secret, remaining
from volplug_ebs._machine import Machine
from volplug_ebs._settings import EbsConfig

_PATIENCE_S = (16, 4, 1)
_CONNECT_S = 3


class Clients:
    """Clients of EC2 with this backend's keys, made when they are needed."""

    def __init__(self, config: EbsConfig, machine: Machine) -> None:
        self._config = config
        self._machine = machine
        self._guard = threading.Lock()
        self._made: dict[int, Any] = {}

    def current(self) -> Any:
        """Return a client that waits for an answer about as long as the deadline admits."""
        patience_s = next((one for one in _PATIENCE_S if one <= remaining()), _PATIENCE_S[-1])
        with self._guard:
            if patience_s not in self._made:
                self._made[patience_s] = self._connect(patience_s)
            return self._made[patience_s]

    def forget_keys(self) -> None:
        """Read the secrets anew for the next request: whoever rotates them restarts nothing."""
        with self._guard:
            self._made.clear()

    def _connect(self, patience_s: int) -> Any:
        config = self._config
        core = botocore.session.Session()
        core.register_component("data_loader", _model())
        session = boto3.session.Session(
            botocore_session=core,
            aws_access_key_id=_revealed(config.access_key),
            aws_secret_access_key=_revealed(config.secret_key),
            aws_session_token=_revealed(config.session_token),
            region_name=config.region or self._machine.region(),
        )
        wire = Config(
            connect_timeout=min(patience_s, _CONNECT_S),
            read_timeout=patience_s,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=32,
            user_agent_extra="volplug",
        )
        return session.client("ec2", config=wire, endpoint_url=config.endpoint or None)


def _revealed(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


@functools.cache
def _model() -> Any:
    return create_loader()
