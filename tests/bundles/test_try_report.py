import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from venation.bundles.try_report import TryReport, fold_notes
from venation.data.manifest import Manifest, Sample
from venation.studies.create import NAMES

CLASSES = ("ash", "beech", "oak")
TRUE = np.array([0] * 5 + [1] * 4 + [2] * 2)


def test_notes_say_what_was_done_about_small_classes() -> None:
    samples = tuple(
        Sample(Path(f"{CLASSES[label]}/{index}.png"), CLASSES[label], None, str(index), "train")
        for index, label in enumerate(TRUE)
    )
    manifest = Manifest(Path(), samples, CLASSES)
    fold = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, -1, -1])
    assert fold_notes(manifest, TRUE, fold, asked=3)[0].endswith("other image to learn from: oak")
    fewer, _ = fold_notes(manifest, TRUE, fold, asked=5)
    assert fewer.startswith("3 folds instead of 5")
    assert fold_notes(manifest, TRUE, np.arange(11) % 5, asked=5) == []


@pytest.mark.parametrize("name", ["leaves", "my leaves (2025)", "-x", "...", "é" * 120])
def test_the_next_command_can_be_pasted(name: str) -> None:
    counts: dict[str, Any] = dict.fromkeys(("images", "classes", "folds", "scored", "size", "seconds"), 1)
    lists: dict[str, Any] = {"scores": {}, "confused": [], "weakest": [], "notes": []}
    paths = {"bundle": Path(f"{name}.bundle"), "data": Path(f"/data/{name}")}
    words = shlex.split(TryReport(**paths, encoder="e", **counts, **lists).next_command)
    assert words[:3] == ["venation", "study", "create"] and words[-1] == f"/data/{name}"
    assert re.fullmatch(NAMES, words[3])
