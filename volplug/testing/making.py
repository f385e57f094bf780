"""Making volumes for the contracts, under names that no other test run uses."""

import secrets
from contextlib import suppress
from typing import Any, TypeAlias

from volplug.driver import Driver
from volplug.errors import VolplugError
from volplug.volume import Volume

AnyDriver: TypeAlias = Driver[Any, Any]
AnyVolume: TypeAlias = Volume[Any]


class Make:
    """Makes volumes for a test, and deletes them when it is over."""

    def __init__(self, driver: AnyDriver, options: Any) -> None:
        self.driver = driver
        self.options = options
        self._made: dict[str, AnyVolume] = {}

    def __call__(self, name: str = "", options: Any = None) -> AnyVolume:
        """Create a volume, under a free name unless one is given."""
        name, options = name or self.free_name(), options or self.options
        return self.keep(name, options, self.driver.create(name, options))

    def free_name(self) -> str:
        """Return a name that no other test run uses."""
        return f"contract-{secrets.token_hex(5)}"

    def clean_up(self) -> None:
        """Delete what was made; whether that works is for the tests to say."""
        for volume in self._made.values():
            with suppress(VolplugError):
                self.driver.detach(volume, self.driver.node_id())
            with suppress(VolplugError):
                self.driver.delete(volume)

    def keep(self, name: str, options: Any, handle: str) -> AnyVolume:
        """Return the volume with that handle, which is to be deleted afterwards."""
        mode = sorted(self.driver.access_modes)[0]
        self._made[name] = Volume(name, "contract", handle, mode, options)
        return self._made[name]
