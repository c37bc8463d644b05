"""Settings that users write: spaces and studies in YAML, and values of ``--set``."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from venation.spaces.fields import field_names, set_fields
from venation.spaces.space_file import read_space
from venation.studies.study_file import read_study_file
from venation.trials.trial_config import TrialConfig

from .attempt import Kind
from .mutations import joined, mutated

_SPACE = b"""train.lr: {low: 0.0003, high: 0.01, log: true}
gate: [none, mean, meanmax]
data.size: {low: 96, high: 224, step: 32}
decoder.kind: [unet, mnsa]
decoder.transfer: {choices: [0, 0.25, 0.5], when: {decoder.kind: mnsa}}
"""
_STUDY = b"""kind: classifier
data: leaves
trials: 20
objective: [accuracy, logloss]
set:
  encoder.name: test_resnet
  data.size: 64
  train.epochs: 3
"""
_TOKENS = (
    b"a|: |- |[|]|{|}|, |&a |*a|!!int |!!float |!!set |!!omap |!!binary |!!timestamp |? |<<: |>|\n|  |'|\"|#|---\n"
)
_TOKENS += b"|1e9|.nan|\xc3\xa9|gate|train.lr|low|high|step|choices|when|log|true|.inf|-1|0x7f|190:20:30|2001-99-99"


def _yaml(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    return mutated(seeds) | joined(_TOKENS.split(b"|"))


def _file(read: Callable[[Path], object]) -> Callable[[bytes, Path], None]:
    def run(content: bytes, folder: Path) -> None:
        path = folder / "file.yaml"
        path.write_bytes(content)
        read(path)

    return run


def _read_setting(content: bytes, folder: Path) -> None:
    name, _, value = content.decode(errors="surrogateescape").partition("=")
    set_fields(TrialConfig(), {name: value})


def _settings(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    values = st.sampled_from(seeds).map(lambda seed: seed.partition(b"=")[2]) | st.binary(max_size=8)
    names = st.sampled_from([name.encode() for name in field_names()])
    return mutated(seeds) | st.tuples(names, values).map(b"=".join)


def _pairs() -> list[bytes]:
    default = TrialConfig()
    return [b"train.lr=0.001", b"data.size=32x64", b"decoder.channels=8", f"gate={default.gate}".encode()]


KINDS = (
    Kind("space (YAML)", lambda: [_SPACE], _yaml, _file(read_space), share=5),
    Kind("study (YAML)", lambda: [_STUDY], _yaml, _file(read_study_file), share=5),
    Kind("setting (--set)", _pairs, _settings, _read_setting, share=3),
)
