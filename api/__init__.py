"""The Python API behind ``import venation``: bundles that predict, studies that are created, run and exported."""
