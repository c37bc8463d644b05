"""All kinds of inputs by name."""

from . import bundle_files, data_sets, pictures, requests, settings

KINDS = {kind.name: kind for module in (pictures, data_sets, settings, bundle_files, requests) for kind in module.KINDS}
