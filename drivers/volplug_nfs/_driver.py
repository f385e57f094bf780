"""The plain driver: a directory of an NFS export for each volume.

It is made over NFSv3 through libnfs, in a child, whatever version it is mounted with later; or,
where the server has no NFSv3 or wants Kerberos, through a mount that the operator made. Not a
boundary between tenants: a client names itself, so who can mount the export can reach every
directory of it (backends-file 2.6); for that there is `nfs-ganesha`.
"""

from collections.abc import Mapping
from typing import Any

from volplug.sdk import (
    AccessMode,
    Describing,
    Driver,
    InvalidOptions,
    MountWords,
    RemoteTree,
    Share,
    Subdirectories,
    SubdirectoryOptions,
    Unavailable,
    Unsupported,
    Volume,
    module,
)
from volplug_nfs._probe import supported
from volplug_nfs._settings import SLOTS, WORDS, NfsConfig

# Without retry=0 mount.nfs tries for two minutes; a superblock shared with another volume would
# have that one's options, and could not be cut off alone.
_OURS = ("hard", "nosuid", "nodev", "timeo=600", "retrans=2", "nosharecache")
_NEVER_CHANGED = ("retry=0",)

_ANSWER_S = 7.0
"""More than libnfs waits for a reply, and with the search for a server less than ten seconds."""


class NfsDriver(Driver[NfsConfig, SubdirectoryOptions], Describing):
    """A subdirectory per volume; any number of nodes may use it at the same time."""

    access_modes = frozenset(AccessMode)
    size_enforced = "not kept: the server's quotas"
    attach_limit = "none"
    needs = ("mount.nfs",)

    def __init__(self, config: NfsConfig) -> None:
        super().__init__(config)
        self._shares: dict[str, Subdirectories] = {}
        self._words = MountWords(
            WORDS,
            slots=SLOTS,
            ours=_OURS,
            operator=config.mount_options,
            allowed=config.allowed_options,
        )

    def create(self, name: str, options: SubdirectoryOptions) -> str:
        """Make the directory, or adopt the one that `path=` names."""
        self._words.check(options.mount_options)
        return self.volumes().make(name, options)

    def delete(self, volume: Volume[Any]) -> None:
        """Rename the directory away; its files go in the background. An adopted one stays."""
        self.volumes().remove(volume, self.config.on_delete)

    def attach(self, volume: Volume[Any], node_id: str) -> Share:  # noqa: ARG002  any node may
        """Name the directory, after a look that it is there."""
        server, versions = self.server()
        path = self._volumes(server).check(volume.name, volume.handle)
        words = self._words.text(volume.options.mount_options, f"vers={versions[0]}")
        if "nolock" in words and volume.access is AccessMode.SHARED:
            raise InvalidOptions(
                f"volume '{volume.name}': nolock keeps locks to one node, and a shared volume is "
                "written by several: leave nolock out"
            )
        source = f"{server}:{self.config.export}/{path}"
        return Share("nfs", source, (*words, *_NEVER_CHANGED))

    def describe(self, volume: Volume[Any]) -> Mapping[str, str]:
        """Tell which server is used, that no size is enforced, and how deletions have come on."""
        server, versions = self.server()
        described = self._volumes(server).describe(volume, self.config.on_delete)
        return {"size_enforced": "none", "server": server, "version": versions[0], **described}

    def server(self) -> tuple[str, list[str]]:
        """Return the first server that answers, and the wanted versions that it speaks.

        Raises Unavailable, with each server's own cause, if none does.
        """
        problems = []
        for server in self.config.servers:
            try:
                versions = supported(server, self.config.versions)
            except Unavailable as error:
                problems.append(str(error))
                continue
            if versions:
                return server, versions
            problems.append(f"{server} speaks none of NFS {', '.join(self.config.versions)}")
        raise Unavailable(f"{'; '.join(problems)}: check the server, or `servers` and `versions`")

    def volumes(self) -> Subdirectories:
        """Return the volumes of the export, as the first server that answers has it."""
        return self._volumes(self.server()[0])

    def _volumes(self, server: str) -> Subdirectories:
        if server not in self._shares:
            self._shares[server] = self._share(server)
        return self._shares[server]

    def _share(self, server: str) -> Subdirectories:
        config = self.config
        if config.mounted_at is not None:
            argv = module("volplug.trees.local", str(config.mounted_at))
        elif supported(server, ["3"]):
            user = (str(config.provision_uid), str(config.provision_gid))
            argv = module("volplug_nfs.libnfs_tree", server, config.export, *user)
        else:
            raise Unsupported(
                f"NFS server {server} has no NFSv3, which directories are made over: switch it on "
                "there, or mount the export on this machine and set mounted_at"
            )
        return Subdirectories(
            RemoteTree(argv, answer_s=_ANSWER_S),
            share=f"{server}:{config.export}",
            cure="export it with no_root_squash to the nodes that run volplug, or let volumes "
            "belong to provision_uid and provision_gid",
            archive_days=config.archive_days,
            purge_rate_per_s=config.purge_rate_per_s,
        )
