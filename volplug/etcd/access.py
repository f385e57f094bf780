"""Where the members of the cluster listen, and what they want to see before they answer.

With certificates alone etcd's JSON gateway knows no user, for it speaks to its own member with its
own certificate: roles need a user and a password (leases.md 2.14).
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from volplug.errors import InvalidOptions
from volplug.options import Secret
from volplug.store_settings import StoreSettings

PORT = 2379


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One member's client address."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read `http://host:2379` or `https://…`; raise InvalidOptions with what is wanted."""
        parts = urlsplit(text)
        try:
            port = parts.port or PORT
        except ValueError:
            port = 0
        plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
        if parts.scheme not in ("http", "https") or not parts.hostname or not port or not plain:
            raise InvalidOptions(
                f"store.endpoints: {text!r} is not an address of etcd: "
                f"wanted http://HOST:{PORT} or https://HOST:{PORT}"
            )
        return cls(parts.scheme, parts.hostname, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the cluster: every member, the certificates, the user."""

    endpoints: tuple[Endpoint, ...]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str = ""
    password: Secret | None = None

    @classmethod
    def of(cls, settings: StoreSettings) -> "Access":
        """Read the operator's settings; raise InvalidOptions if an endpoint is none."""
        return cls(
            tuple(map(Endpoint.parse, settings.endpoints)),
            settings.ca,
            settings.cert,
            settings.key,
            settings.user,
            settings.password,
        )

    def __str__(self) -> str:
        return ", ".join(map(str, self.endpoints))
