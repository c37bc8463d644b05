"""Find the shell blocks of the documentation pages, and make their commands small."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from small_bundle import BOOSTER, CLASSIFIER, DECODER

ROOT = Path(__file__).parent.parent
# The main flow of README has a test of its own, which also looks at the dashboard.
_BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?^ *```sh\n(?P<lines>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_OWN_TEST = "test_main_flow"
_NOT_RUN = "not run: "

_SMALL = {
    "classifier": CLASSIFIER,
    "decoder": DECODER,
    "booster": BOOSTER,
    "multitask": (*CLASSIFIER, *DECODER),
}
# A supernet ranks decoders of the kind `mnsa`, and needs five trials.
_SMALL_SUPERNET = (
    *("--set", "decoder.channels=4", "--set", "train.epochs=1", "--trials", "5"),
    *("--set", "decoder.widths.deform3=0", "--set", "decoder.widths.deform5=0", "--set", "decoder.widths.meanmax=0"),
)
# A command that names an encoder keeps it and its sizes; no page trains its study.
_NO_DOWNLOAD = ("--set", "encoder.weights=none")
_SMALL_PLUGIN = ("--set", "plugin.width=16", "--set", "plugin.joint=8")
_SIGNAL = ("--points", "3", "--seeds", "2", "--epochs", "1")
_LEAVES = ("--classes", "3", "--images", "4", "--size", "40")


@dataclass(frozen=True)
class Block:
    """A block of shell lines; ``reason`` says why a test cannot run it."""

    lines: tuple[str, ...]
    reason: str | None


def read_blocks(text: str) -> list[Block]:
    """Return the shell blocks of a page, without those that another test runs."""
    found = []
    for match in _BLOCK.finditer(text):
        mark = match["mark"] or ""
        reason = mark.removeprefix(_NOT_RUN) if mark.startswith(_NOT_RUN) else None
        if _OWN_TEST not in mark:
            found.append(Block(tuple(line.strip() for line in match["lines"].splitlines() if line.strip()), reason))
    return found


def split_line(line: str) -> tuple[list[str], str | None]:
    """Return the words of a line without its comment, and the file that its output goes to."""
    words = shlex.split(line, comments=True)
    if ">" in words:
        at = words.index(">")
        return words[:at], words[at + 1]
    return words, None


def make_small(words: list[str]) -> list[str]:
    """Return the same command with tiny networks and few trials.

    Of a repeated option the last one counts.
    """
    match words:
        case ["data", "synth", *_]:
            return [*words, *_LEAVES]
        case ["study", "create", *_] if "oneshot" in words:
            return [*words, *_SMALL_SUPERNET]
        case ["study", "create", *_] if "--preset" in words:
            return [*words, "--trials", "1", *_small_preset(words)]
        case ["study", "create", *_]:
            return [*words, "--trials", "2", *_SMALL[words[words.index("--kind") + 1]]]
        case ["study", "signal", *_]:
            return [*words, *_SIGNAL, "--device", "cpu"]
        case ["study", "delete", *_]:
            return [*words, "--yes"]
        case ["worker", "list" | "reap", *_]:
            return words
        case ["worker", *_]:
            slots = ["--slots", "1"] if "--slots" in words else []
            return [*words, *slots, "--until-idle", "--device", "cpu"]
        case ["try", *_]:
            return [*words, "--size", "32", "--device", "cpu"]
        case ["predict" | "evaluate", *_] | ["bundle", "export", *_] | ["data", "masks", *_]:
            return [*words, "--device", "cpu"]
    return words


def _small_preset(words: list[str]) -> tuple[str, ...]:
    """Return the settings with which a preset's networks train in a moment."""
    if any(word.startswith("encoder.name=") for word in words):
        return _NO_DOWNLOAD
    match words[words.index("--kind") + 1]:
        case "classifier":
            return (*CLASSIFIER, *(_SMALL_PLUGIN if {"pim", "herbs"} & set(words) else ()))
        case "decoder":
            return ("--set", "train.epochs=1")
        case _:
            return BOOSTER
