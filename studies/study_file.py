"""Study files: the options of `venation study create` in YAML."""

from pathlib import Path
from typing import Any

from ..data.yaml_file import read_yaml
from ..errors import UsageError
from .request import LISTS, check_options


def read_study_file(path: Path) -> dict[str, Any]:
    """Return the options in a study file.

    ``data`` and ``space`` are relative to the file's folder, and so is ``init`` if it is a path.
    Raises UsageError for a file that cannot be read or parsed, and for an unknown key (names the
    nearest).
    """
    content = read_yaml(path, "study", "-f")
    if not isinstance(content, dict):
        raise UsageError(f"study file `{path}` holds no options; write lines like `kind: classifier`.")
    check_options(content, where=f"`{path}`")
    settings = content.get("set", {})
    if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
        raise UsageError(f"`set` in `{path}` must hold config fields, one a line: `train.epochs: 3`.")
    for key, value in content.items():
        several = isinstance(value, list) and key in LISTS and not any(isinstance(v, list | dict) for v in value)
        if key != "set" and isinstance(value, list | dict) and not several:
            wanted = "a name or a list of names" if key in LISTS else "one value"
            raise UsageError(f"`{key}` in `{path}` must be {wanted}, not `{value}`.")
    for key in ("data", "space"):
        if content.get(key) is not None:
            content[key] = path.parent / str(content[key])
    if content.get("init") is not None and (beside := path.parent / str(content["init"])).exists():
        content["init"] = beside
    return content
