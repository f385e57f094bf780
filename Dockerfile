# The root filesystem of the managed plugin. `make plugin BASE=image` lays out the build context and runs this; without
# BASE, deploy/base.py makes a base of Debian packages and runs the same deploy/install in it. Nothing here needs a network.
#
# The base must bring Python 3.11 or later and the programs that the host runs: mount, losetup, blkid, mkfs and fsck for
# ext4 and xfs, and mount.nfs for NFS volumes (Debian: the packages in deploy/base.py).
ARG BASE
FROM ${BASE}
COPY wheels /wheels
COPY install /wheels/install
RUN ["/bin/sh", "/wheels/install"]
