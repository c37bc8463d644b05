"""The Python API behind ``import venation``: load bundles; create, run and export studies."""
