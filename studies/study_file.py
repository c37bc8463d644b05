"""A study written down in a YAML file: the same names as the options of `venation study create`."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError

KEYS = (
    "name",
    "kind",
    "data",
    "base",
    "preset",
    "space",
    "from",
    "trials",
    "timeout",
    "objective",
    "constraint",
    "set",
    "search",
    "sampler",
    "pruner",
    "eta",
    "first_rung",
    "seed",
    "heartbeat",
)
TEXTS = {"name", "kind", "base", "preset", "from", "search", "sampler", "pruner"}
LISTS = {"objective", "constraint"}  # one or several


def read_study_file(path: Path) -> dict[str, Any]:
    """The options in a study file; ``data`` and ``space`` are taken relative to the file's folder.

    Raises UsageError for a file that cannot be read or parsed, and for an unknown key (names the nearest).
    """
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"study file `{path}` cannot be read ({error.strerror}); give another with -f.") from None
    except yaml.YAMLError as error:
        raise UsageError(f"study file `{path}` is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise UsageError(f"study file `{path}` holds no options; write lines like `kind: classifier`.")
    for key in content:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=2) or KEYS
            raise UsageError(f"`{key}` in `{path}` is not an option of a study; did you mean: {', '.join(near)}?")
    settings = content.get("set", {})
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise UsageError(f"`set` in `{path}` must hold config fields, one a line: `train.epochs: 3`.")
    for key, value in content.items():
        several = isinstance(value, list) and key in LISTS and not any(isinstance(v, list | dict) for v in value)
        if key != "set" and isinstance(value, list | dict) and not several:
            wanted = "a name or a list of names" if key in LISTS else "one value"
            raise UsageError(f"`{key}` in `{path}` must be {wanted}, not `{value}`.")
    for key in TEXTS & content.keys():
        content[key] = None if content[key] is None else str(content[key])
    for key in LISTS & content.keys():
        value = content[key]
        content[key] = [str(each) for each in (value if isinstance(value, list) else [] if value is None else [value])]
    for key in ("data", "space"):
        if content.get(key) is not None:
            content[key] = path.parent / str(content[key])
    return content
