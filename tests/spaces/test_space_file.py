"""Spaces in YAML files: valid files, and one-line errors for invalid ones."""

from pathlib import Path

import optuna
import pytest

from venation.errors import UsageError
from venation.spaces.presets import PRESETS, recipe
from venation.spaces.space import Choice, Float, Int, Space
from venation.spaces.space_file import read_space, space_text
from venation.trials.trial_config import TrialConfig

TEXT = """
gate: [none, meanmax]
train.mask_weight: {low: 0.01, high: 1, log: true, when: {gate: [mean, meanmax]}}
data.size: {low: 96, high: 224, step: 32}
decoder.transfer: {choices: [0, 0.25], when: {decoder.kind: mnsa}}
train.lr: {low: 1, high: 2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    assert read_space(written(tmp_path, TEXT)) == Space(
        dimensions=(
            Choice(name="gate", choices=("none", "meanmax")),
            Float(name="train.mask_weight", low=0.01, high=1, log=True, when={"gate": ("mean", "meanmax")}),
            Int(name="data.size", low=96, high=224, step=32),
            Choice(name="decoder.transfer", choices=(0, 0.25), when={"decoder.kind": ("mnsa",)}),
            Float(name="train.lr", low=1, high=2),
        )
    )


def test_values_have_the_types_of_the_config(tmp_path: Path) -> None:
    """YAML reads 1e-3, without a dot, as text."""
    space = read_space(written(tmp_path, "train.lr: [1e-3, 3e-3]\ntrain.epochs: {low: 1.0, high: 3.0}"))
    assert space.dimensions == (
        Choice(name="train.lr", choices=(0.001, 0.003)),
        Int(name="train.epochs", low=1, high=3),
    )
    assert space.point(TrialConfig())["train.lr"] == TrialConfig().train.lr == 0.003


def test_a_dimension_is_drawn_only_where_it_applies(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, TEXT))
    for gate in ("none", "meanmax"):
        trial = optuna.trial.FixedTrial(
            {"gate": gate, "train.mask_weight": 0.5, "data.size": 128, "decoder.transfer": 0, "train.lr": 1.5}
        )
        config = space.suggest(trial, TrialConfig())
        assert config.gate == gate
        assert config.train.mask_weight == (0.5 if gate == "meanmax" else 0)
        assert config.decoder == TrialConfig().decoder
        assert "decoder.transfer" not in trial.distributions
        assert space.point(config).keys() == trial.distributions.keys()


@pytest.mark.parametrize(("preset", "kind"), [(preset, kind) for preset, kinds in PRESETS.items() for kind in kinds])
def test_every_space_round_trips_through_its_text(preset: str, kind: str, tmp_path: Path) -> None:
    space = recipe(preset, kind).space
    assert read_space(written(tmp_path, space_text(space))) == space
    spoken = read_space(written(tmp_path, TEXT))
    assert read_space(written(tmp_path, space_text(spoken))) == spoken


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.lrr: [1]", "`train.lrr` is not a config field; similar fields are: train.lr"),
        ("gate: none", "`gate` must be a list of choices, or have `choices`, or `low` and `high`"),
        ("gate: []", "`gate`: `choices` = .*at least 1 item"),
        ("gate: [none, soft]", "`gate` = 'soft': input should be 'none', 'mean' or 'meanmax'"),
        ("train.lr: {low: 1, hgih: 2}", "`train.lr` has the key `hgih`; its keys are: low, high, log, step, when"),
        ("train.lr: {low: 1.0}", "`high`.*field required"),
        ("train.lr: {low: 2.0, high: 1.0}", "low <= high"),
        ("train.lr: {low: 2.0, high: .inf}", "`high` = inf: input should be a finite number"),
        ("train.epochs: {low: 1.5, high: 3}", "`low` = 1.5: input should be a valid integer"),
        ("train.lr: {low: 1, high: 2, when: {gate: maxmean}}", "`gate` = 'maxmean': input should be"),
        ("plugin.keep: [[0.5, 0.5]]", "must be a list of single values"),
        ("train.epochs: {low: 0, high: 5}", "`train.epochs` = 0: input should be greater than or equal to 1"),
        ("gate: {choices: [none], when: none}", "`when` of `gate` must name fields and values"),
        ("train.lr: {low: 1, high: 2, when: {gait: none}}", "`gait` is not a config field"),
        ("train.lr: {low: 1, high: 2, when: {gate: none}}\ngate: [none]", "depends on `gate`, which must come before"),
        ("decoder.levels.level6: [0, 1]", "`decoder.levels.level6` is not a config field; .*: decoder.levels.level5"),
        ("decoder.levels.level1: [-1]", "`decoder.levels.level1` = -1: input should be greater than or equal to 0"),
        ("decoder.deform_kernel: [3, 4]", "`decoder.deform_kernel` = 4: the kernel size must be odd: set 3, 5 or 7"),
        ("decoder.dilation: {low: 0, high: 3}", "`decoder.dilation` = 0: input should be greater than or equal to 1"),
        ("decoder.supervise: [often]", "`decoder.supervise` = 'often': input should be a valid boolean"),
        ("gate: [none]\ntrain.lr: [1]\ngate: [mean]", "gives `gate` twice, again in line 3; keep"),
        ("train.lr: {low: 1, high: 2, low: 3}", "gives `low` twice, again in line 1; keep"),
        ("train.lr: {low: 1, high: 2, when: {gate: []}}", "`when` of `train.lr` gives `gate` no value"),
        (
            "gate: [none]\ntrain.lr: {choices: [1, 2], when: {gate: [mean, meanmax]}}",
            "`train.lr` depends on `gate` = mean, meanmax, which `gate` above never has",
        ),
        ("train.epochs: {low: 3, high: 5}\ngate: {choices: [none], when: {train.epochs: 6}}", "`gate` depends on"),
        (
            "train.epochs: {low: 2, high: 4, step: 3}",
            "`train.epochs` goes from 2 to 4 in steps of 3, so it is always 2",
        ),
        ("decoder.channels: [8, 16, 8.0]", "`decoder.channels` has the choice 8 more than once"),
        ("decoder.supervise: [false, no]", "`decoder.supervise` has the choice False more than once"),
        ("train.epochs: [true, 2]", "`train.epochs` = true: the field is not true or false"),
        ("train.lr: {low: false, high: 2}", "`train.lr` = false: the field is not true or false"),
        ("train.epochs: {low: 1, high: 4, step: true}", "`train.epochs` = true: the field is not true or false"),
        ("train.lr: {low: 1, high: 2, when: {decoder.channels: true}}", "`decoder.channels` = true: the field"),
        ("decoder.deform_kernel: {low: 3, high: 7}", "`decoder.deform_kernel` = 4: the kernel size must be odd"),
        ("- gate", "must contain config fields, one per line"),
        ("gate: [", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_an_invalid_file_is_a_one_line_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_space(written(tmp_path, text))
    assert "\n" not in str(caught.value) and str(tmp_path / "space.yaml") in str(caught.value)


def test_unusual_but_valid_files_are_read(tmp_path: Path) -> None:
    text = (
        "decoder.supervise: [true, false]\ngate: [none, mean]\ntrain.epochs: {low: 4, high: 4}\n"
        "decoder.deform_kernel: {low: 3, high: 7, step: 2}\ndata.size: {low: 32, high: 96, step: 64}\n"
        "train.lr: {low: 1, high: 1, when: {gate: [mean, meanmax]}}\n"
        # Where the decoder is not a U-Net, the field has the recipe's value.
        "decoder.channels: {choices: [8, 16], when: {decoder.kind: unet}}\n"
        "train.momentum: {choices: [0.5], when: {decoder.channels: 4}}\n"
    )
    assert [d.name for d in read_space(written(tmp_path, text)).dimensions][-2:] == [
        "decoder.channels",
        "train.momentum",
    ]


def test_an_empty_file_is_an_empty_space_and_a_missing_one_is_named(tmp_path: Path) -> None:
    assert read_space(written(tmp_path, "")) == Space()
    with pytest.raises(UsageError, match="none.yaml` cannot be read"):
        read_space(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="`--space` names no file; give the path of a YAML file"):
        read_space(Path(""))
