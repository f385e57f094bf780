"""The plain driver: a directory of a Gluster volume for each of ours.

It is made through libgfapi, in a child. The client that mounts it talks to every brick, so the
servers named here only matter at the start; but each node must resolve and reach all brick hosts.
"""

from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    FLAG,
    NUMBER,
    AccessMode,
    Describing,
    Driver,
    MountWords,
    RemoteTree,
    Share,
    Subdirectories,
    SubdirectoryOptions,
    Volume,
    module,
)
from volplug_glusterfs._settings import GlusterConfig

# Never those that name files, programs or translators: the client runs as root.
_WORDS = {
    "acl": FLAG,
    "attribute-timeout": NUMBER,
    "entry-timeout": NUMBER,
    "negative-timeout": NUMBER,
    "direct-io-mode": "=(enable|disable)",
    "fopen-keep-cache": FLAG,
    "log-level": "=(CRITICAL|ERROR|WARNING|INFO)",
    "lru-limit": NUMBER,
    "reader-thread-count": "=[1-9][0-9]?",
    "use-readdirp": "=(yes|no)",
    "noatime": FLAG,
    "noexec": FLAG,
    "ro": FLAG,
}


class GlusterDriver(Driver[GlusterConfig, SubdirectoryOptions], Describing):
    """A subdirectory per volume; any number of nodes may use it at the same time."""

    access_modes = frozenset(AccessMode)
    size_enforced = "not kept"
    attach_limit = "none"
    needs = ("mount.glusterfs",)

    def __init__(self, config: GlusterConfig) -> None:
        super().__init__(config)
        # Two silences in a row are what a call with a dead brick takes (backends-file 3.1).
        answer_s = 2.0 * config.ping_timeout_s + 5
        ping = str(config.ping_timeout_s)
        argv = module("volplug_glusterfs.gfapi_tree", config.volume, ping, *config.servers)
        self.volumes = Subdirectories(
            RemoteTree(argv, answer_s=answer_s),
            share=f"{config.servers[0]}:/{config.volume}",
            cure="let this machine in with auth.allow, and turn server.root-squash off for it",
            archive_days=config.archive_days,
            purge_rate_per_s=config.purge_rate_per_s,
        )
        backup = [f"backup-volfile-servers={':'.join(config.servers[1:])}"]
        self._words = MountWords(
            _WORDS,
            slots={},
            ours=(
                "log-level=WARNING",
                f"xlator-option=*client*.ping-timeout={ping}",
                *(backup if config.servers[1:] else []),
            ),
            operator=config.mount_options,
            allowed=config.allowed_options,
        )

    def create(self, name: str, options: SubdirectoryOptions) -> str:
        """Make the directory, or adopt the one that `path=` names."""
        self._words.check(options.mount_options)
        return self.volumes.make(name, options)

    def delete(self, volume: Volume[Any]) -> None:
        """Rename the directory away; its files go in the background. An adopted one stays."""
        self.volumes.remove(volume, self.config.on_delete)

    def attach(self, volume: Volume[Any], node_id: str) -> Share:  # noqa: ARG002  any node may
        """Name the directory, after a look that it is there."""
        path = self.volumes.check(volume.name, volume.handle)
        return Share(
            "fuse.glusterfs",
            f"{self.config.servers[0]}:/{self.config.volume}/{path}",
            self._words.text(volume.options.mount_options),
        )

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell that no size is enforced, and how far deletions have come."""
        described = self.volumes.describe(volume, self.config.on_delete)
        return {"size_enforced": "none", **described}
