"""Maintenance: database checks, garbage collection of artifacts, the reaper, Prometheus metrics."""
