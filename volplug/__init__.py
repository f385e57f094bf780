"""Persistent volumes for containers on any host: drivers, leases, fronts."""
