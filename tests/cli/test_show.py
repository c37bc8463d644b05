"""`show` of a study, a trial and a bundle: words and tables that fit on a screen."""

import pytest
from small_bundle import SmallBundle, rows, succeed

from venation.commands.show_trial import curve_line, spark_bars


def test_a_study_is_shown_with_progress_best_trial_and_next_command(small_bundle: SmallBundle) -> None:
    shown, record = succeed("study", "show", "tiny-veins"), rows("study", "show", "tiny-veins")
    assert shown.startswith("study tiny-veins: decoder, preset default\n")
    assert "  progress    1 of 1 trial: 1 complete\n" in shown
    assert f"trial 0: iou {record['best']:.4g}, bce " in shown and "iou (higher is better)" in shown
    assert "classes     3: cultivar_00, cultivar_01, cultivar_02\n" in shown
    assert shown.endswith("next: venation bundle export tiny-veins -o tiny-veins.bundle\n")
    # Fields of the base and of the search are not in the recipe of this study.
    recipe = next(line for line in shown.splitlines() if line.startswith("  recipe"))
    assert "train.epochs=1" in recipe and "encoder" not in recipe and "train.lr" not in recipe
    space = {dimension["name"] for dimension in record["spec"]["space"]["dimensions"]}
    assert {line.split()[0] for line in shown.split("only if")[1].splitlines()[1:] if line} - {"next:"} == space


def test_a_trial_is_shown_with_params_metrics_and_curve(small_bundle: SmallBundle) -> None:
    record = rows("trial", "show", "tiny", 0)
    shown = succeed("trial", "show", "tiny", 0)
    assert shown.startswith(f"study tiny, trial 0: COMPLETE, accuracy {record['value']:.4g}, logloss ")
    assert "linear probe" in shown and "the recipe itself" in shown and "weights.safetensors" in shown
    words = [line.split() for line in shown.splitlines()]
    for name, value in (record["params"] | record["metrics"]).items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        assert [name, text] in words
    assert "encoder.name=test_resnet" in shown and "{" not in shown
    assert succeed("study", "best", "tiny") == shown


def test_a_bundle_is_shown_with_origin_scores_and_use(small_bundle: SmallBundle) -> None:
    record, shown = rows("bundle", "show", small_bundle.path), succeed("bundle", "show", small_bundle.path)
    assert shown.startswith(f"{small_bundle.path}: a bundle of 3 classes\n")
    assert "classifier tiny trial 0 (accuracy" in shown and "decoder tiny-veins trial 0 (iou" in shown
    test = record["metrics"]["test"]["accuracy"]
    assert f"{test['value']:.4g} ({test['low']:.4g} to {test['high']:.4g})" in shown
    assert f"test ({record['images']['test']} images)" in shown and record["data_fingerprint"][:12] in shown
    assert record["versus_probe"]["says"] in shown
    assert shown.endswith(f"predict: venation predict {small_bundle.path} PHOTOS -o out/\n")
    assert len(shown.splitlines()) < 40 and "{" not in shown


def test_a_curve_is_a_row_of_bars_with_its_best_step() -> None:
    assert curve_line({0: 0.1, 1: 0.5, 2: 0.3}, "accuracy") == (
        "▁█▄  accuracy 0.1 at first, best 0.5 in epoch 2, last 0.3"
    )
    assert curve_line({0: 2.0, 1: 1.0}, "logloss", "fold") == "█▁  logloss 2 at first, best 1 in fold 2, last 1"
    assert curve_line({}, "accuracy") is None


@pytest.mark.parametrize(("values", "bars"), [([1.0] * 3, "▄▄▄"), (list(range(8)), "▁▂▃▄▅▆▇█")])
def test_bars_have_eight_heights(values: list[float], bars: str) -> None:
    assert spark_bars(values) == bars
    assert len(spark_bars(list(range(1000)))) == 40
