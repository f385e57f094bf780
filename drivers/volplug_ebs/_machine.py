"""Who this machine is: the instance metadata service knows, and so does the firmware.

IMDSv2 wants a token first, and its answers live for one network hop unless the instance says more:
from a container with a network of its own that looks like a service that is down. On Nitro the
firmware's asset tag is the instance id too.
"""

import json
import re
import threading
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path

from volplug.sdk import Unavailable, remaining
from volplug_ebs._settings import EbsConfig

_ASSET_TAG = Path("/sys/class/dmi/id/board_asset_tag")
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)
_ANSWER_S = 2.0


class Machine:
    """This machine as EC2 knows it; asked once, for it stays the same."""

    def __init__(self, config: EbsConfig, asset_tag: Path = _ASSET_TAG) -> None:
        self._config = config
        self._asset_tag = asset_tag
        self._guard = threading.Lock()
        self._known: dict[str, str] = {}

    def instance_id(self) -> str:
        """Return this machine's instance id; raise Unavailable with the ways to give it."""
        if self._config.node:
            return self._config.node
        try:
            return self._fact("instanceId")
        except Unavailable:
            tag = self._read_asset_tag()
            if _INSTANCE.fullmatch(tag):
                return tag
            raise

    def region(self) -> str:
        """Return the region; raise Unavailable when only a setting can tell."""
        return self._fact("region")

    def zone(self) -> str:
        """Return the availability zone; raise Unavailable when only a setting can tell."""
        return self._fact("availabilityZone")

    def _fact(self, name: str) -> str:
        with self._guard:
            if not self._known:
                self._known = self._ask()
        if name not in self._known:
            raise Unavailable(f"the metadata service at {self._config.metadata} tells no {name}")
        return self._known[name]

    def _ask(self) -> dict[str, str]:
        try:
            token = self._fetch("PUT", "/latest/api/token", "ttl-seconds", "60")
            document = self._fetch("GET", "/latest/dynamic/instance-identity/document", "", token)
            found = json.loads(document)
            return {key: text for key, text in found.items() if isinstance(text, str)}
        except (OSError, HTTPException, ValueError, AttributeError) as error:
            raise Unavailable(
                f"this machine cannot be found out: the instance metadata service at "
                f"{self._config.metadata} does not tell ({error}); on EC2 allow IMDSv2 with a hop "
                "limit of 2, elsewhere set node, region and zone of the backend"
            ) from error

    def _fetch(self, method: str, path: str, word: str, value: str) -> str:
        header = "X-aws-ec2-metadata-token" + (f"-{word}" if word else "")
        url = self._config.metadata.rstrip("/") + path
        # The scheme is http or https: EbsConfig.metadata is checked.
        request = urllib.request.Request(url, method=method, headers={header: value})  # noqa: S310
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=max(0.1, min(_ANSWER_S, remaining()))) as answer:
            text: str = answer.read().decode()
        return text

    def _read_asset_tag(self) -> str:
        try:
            return self._asset_tag.read_text().strip()
        except OSError:
            return ""
