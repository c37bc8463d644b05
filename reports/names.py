"""Metrics and amounts as people read them."""

from ..trials.metrics import SHARES

_NAMES = {
    "macro_f1": "macro F1",
    "logloss": "log-loss",
    "iou": "IoU",
    "accuracy_iou": "mean of accuracy and IoU",
    "dice": "Dice",
    "bce": "cross-entropy",
} | {
    "accuracy_blanked": "accuracy, background blanked",
    "ece": "calibration error (ECE)",
    "iou_image": "IoU at the images' own size",
    "dice_image": "Dice at the images' own size",
    "boundary_f": "boundary F-measure",
}
# Metrics whose differences are said in points, hundredths.
_IN_POINTS = (*SHARES, "macro_f1", "iou", "dice", "accuracy_iou")


def metric_name(name: str) -> str:
    """Return a metric as people write it."""
    return _NAMES.get(name, name)


def capital(text: str) -> str:
    """Return a text that begins with a capital letter."""
    return text[:1].upper() + text[1:]


def difference_text(metric: str, value: float, low: float, high: float) -> str:
    """Return a difference with its interval, in points where the metric is a share."""
    if metric in _IN_POINTS:
        return f"{100 * value:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def duration_text(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``7.5 min``, ``31 h``."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
