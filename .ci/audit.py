"""Compare the pinned packages with the published advisories, by pip-audit: `make audit`.

Without a connection, pip-audit skips packages and calls the rest clean. Here a skipped package is
said, and the exit code is 2; it is 1 if an advisory concerns a pinned version.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINS = Path(__file__).parents[1] / "constraints.txt"


def verdict(packages: list[dict[str, Any]], reason: str = "") -> tuple[str, int]:
    """Return what to print and the exit code for pip-audit's list of packages."""
    found = [
        f"{package['name']} {package['version']}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'none'}"
        for package in packages
        for each in package.get("vulns", [])
    ]
    skipped = [package for package in packages if "skip_reason" in package]
    checked = len(packages) - len(skipped)
    if found:
        return "\n".join([f"{len(found)} advisories for {checked} pinned packages:", *found]), 1
    if skipped or not packages:
        why = skipped[0]["skip_reason"] if skipped else reason or "pip-audit gave no answer"
        return f"the advisories of {len(skipped) or 'all'} pinned packages were not reached ({why}): not checked", 2
    return f"no advisory concerns the {checked} pinned packages", 0


def main() -> None:
    """Run pip-audit, print the verdict, and exit with its code."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip"]
    done = subprocess.run([*command, "--progress-spinner", "off", "--format", "json"], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        packages = []
    text, code = verdict(packages, " ".join(done.stderr.split())[-200:])
    print(text)
    sys.exit(code)


if __name__ == "__main__":
    main()
