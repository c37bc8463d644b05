"""Every released version has fixtures that its own code made, and a test that opens them."""

import re
from pathlib import Path

HERE = Path(__file__).parent
CHANGES = (HERE.parents[1] / "CHANGELOG.md").read_text()


def test_every_released_version_has_fixtures_and_a_test() -> None:
    released = re.findall(r"^## \[(\d+)\.(\d+)\.\d+\](?! - not yet released)", CHANGES, re.MULTILINE)
    assert ("0", "1") in released
    for major, minor in dict.fromkeys(released):
        made = HERE / f"v{major}.{minor}"
        assert {"bundle.zip", "database.sql", "predictions.csv"} <= {path.name for path in made.iterdir()}
        assert sum(path.stat().st_size for path in made.iterdir()) < 4 << 20, "kept small"
        assert (HERE / f"test_version_{major}_{minor}.py").is_file()
