"""The summary of a study in sentences."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ..storage.attributes import METRICS, PROBE, VERSUS_PROBE
from ..trials.metrics import MINIMISED
from ..trials.paired import PairedDifference, describe_difference
from ..wording import counted
from .leaderboard import Standing
from .names import capital, difference_text, metric_name
from .study_facts import StudyFacts

_MEANINGS = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def summary(facts: StudyFacts, board: Sequence[Standing], importances: Mapping[str, float]) -> list[str]:
    """Return the study's result in sentences, the most important first."""
    points = [_best(facts, board[0]), _against_probe(facts), _against_others(facts, board)]
    if importances:
        name, share = next(iter(importances.items()))
        points.append(f"{name} decides most: {100 * share:.0f} % of the importance of the searched fields.")
    points.append(_progress(facts))
    if len(facts.ranked) > 1 and facts.spec.direction == "maximize":
        points.append(
            "The best of many trials on the same validation images looks better than it is; the sealed test split"
            f" scores it once, at export: `venation bundle export {facts.name} -o {facts.name}.bundle`"
        )
    return [point for point in points if point]


def _best(facts: StudyFacts, first: Standing) -> str:
    found = f"Trial {first.trial.number} is the best: {facts.metric} {first.value:.3f}"
    if first.interval is not None:
        images = len(facts.answers[first.trial.number].images)
        on = counted(images, "validation image")
        found += f" ({first.interval[0]:.3f} to {first.interval[1]:.3f}, 95 % interval, {on})"
    names = (name for name in ("logloss", "macro_f1", "dice", "bce") if name != facts.spec.objective)
    others = {name: (METRICS.get(first.trial) or {}).get(name) for name in names}
    shown = [f"{metric_name(name)} {value:.3f}" for name, value in others.items() if value is not None]
    return found + (f"; {', '.join(shown)}" if shown else "") + "."


def _against_probe(facts: StudyFacts) -> str:
    record, versus = PROBE.get(facts.handle.study), VERSUS_PROBE.get(facts.best)
    if versus is not None:
        first = f"trial {facts.best.number}"
        said = describe_difference(PairedDifference(**versus), first=first, images="validation")
        return f"{capital(said)}."
    if record is not None and "missing" in record:
        return f"There is no linear probe to compare with: {record['missing']}."
    return ""


def _against_others(facts: StudyFacts, board: Sequence[Standing]) -> str:
    compared = [(row.trial.number, row.lead) for row in board[1:] if row.lead is not None]
    if not compared:
        return ""
    better = sum(lead.significant for _, lead in compared)
    number, lead = compared[0]
    way = "lower" if facts.spec.objective in MINIMISED else "higher"
    gap = difference_text(facts.spec.objective, lead.value, lead.low, lead.high)
    doubt = "significant" if lead.significant else "not significant"
    ahead = f"It is {gap} {way} than trial {number}, the next one, which is {doubt}."
    if lead.value == 0:
        ahead = f"Trial {number}, the next one, has the same {facts.metric}."
    if len(compared) == 1:
        return ahead
    share = {0: "none", len(compared): "all"}.get(better, str(better))
    return f"{ahead} The best is significantly better than {share} of the {len(compared)} trials compared with it."


def _progress(facts: StudyFacts) -> str:
    states = Counter(trial.state.name for trial in facts.trials)
    counts = ", ".join(f"{count} {_MEANINGS[state]}" for state, count in states.most_common())
    budget = f" of a budget of {facts.spec.trials}" if facts.spec.trials else ""
    return f"{counted(len(facts.trials), 'trial')}{budget}: {counts}."
