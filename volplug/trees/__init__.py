"""Volumes as directories of a tree that somebody else keeps: an export, a Gluster volume, a disk.

What every such driver needs, once: a seam of a few file verbs (`tree`), their use from a child
process that can be killed (`remote`) or on a directory that is mounted here (`local`), and on them
the making, finding and deleting of directories that are volumes (`subdirectories`).
"""
