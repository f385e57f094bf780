"""How long this node may write without a renewal, and what resets it if it cannot even stop."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from volplug import options
from volplug.errors import InvalidOptions
from volplug.options import option
from volplug.session import HOLD_MS, RENEW_S

TABLE = "guard"


@dataclass(frozen=True)
class GuardSettings:
    """The keys of [guard] in volplug.toml."""

    hold_s: float = option(
        default=HOLD_MS / 1000,
        check=lambda seconds: 2 <= seconds <= 600,
        want="2 to 600 seconds",
        help="seconds after its last renewal at which this node has stopped its exclusive volumes;"
        " they are frozen after three quarters of it, and renewed four times in it",
    )
    watchdog: Path | None = option(
        default=None,
        help="hardware watchdog that resets this machine if the guard cannot run: /dev/watchdog",
    )
    watchdog_s: int = option(
        default=10,
        check=lambda seconds: 3 <= seconds <= 300,
        want="3 to 300 seconds",
        help="seconds after which the watchdog resets the machine; others wait so much longer",
    )

    @property
    def hold_ms(self) -> int:
        """How long this node's guard lets it write."""
        return round(self.hold_s * 1000)

    @property
    def told_ms(self) -> int:
        """How long others must believe that this node writes: until the watchdog has struck."""
        return self.hold_ms + (0 if self.watchdog is None else self.watchdog_s * 1000)

    @property
    def renew_s(self) -> float:
        """How often to renew."""
        return self.hold_s * RENEW_S * 1000 / HOLD_MS


KEYS = tuple(one.name for one in fields(GuardSettings))


def read(table: Mapping[str, Any], base: Path, problems: list[str]) -> GuardSettings:
    """Read the table; what is wrong with it is added to the problems, in words to people."""
    try:
        return options.parse(GuardSettings, table, what=TABLE, base=base)
    except InvalidOptions as error:
        problems.append(str(error))
        return GuardSettings()
