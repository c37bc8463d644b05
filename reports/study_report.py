"""The report of a study."""

from datetime import UTC, datetime
from pathlib import Path

from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts
from .answer_sections import Answers, calibration_section, class_section, gallery_section
from .drawing import drawing_style
from .images import Pictures
from .leaderboard import as_labels, leaderboard
from .output import write_report
from .page import Section
from .run_sections import cost_section, provenance_section
from .search_plots import importances
from .search_sections import leaderboard_section, search_section
from .study_facts import StudyFacts, read_facts
from .words import summary


def report_study(
    handle: StudyHandle, artifacts: Artifacts, out: Path, *, data: Path | None = None, device: str | None = "auto"
) -> Path:
    """Write the report of a study into the folder ``out``; return the path of the page.

    ``data`` is the place of the images if it is not the study's. On ``device`` the best network
    draws overlays and the leak check; None leaves them out, and then torch is not needed. Raises
    UserError if no trial has finished, or if ``out`` has other files or cannot be written;
    DataError if ``data`` is given and does not hold the study's images.
    """
    facts = read_facts(handle, artifacts, data)
    with drawing_style():
        sections = study_sections(facts, device)
    written = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by Venation."
    return write_report(out, f"Study {facts.name}", sections, footer=written)


def study_sections(facts: StudyFacts, device: str | None) -> list[Section]:
    """Return the sections of a study's page."""
    board, found = leaderboard(facts), importances(facts)
    first = Section("summary", "Summary")
    first.points(summary(facts, board, found))
    sections = [first, leaderboard_section(facts, board), search_section(facts, found), *_answer_sections(facts)]
    if device is not None:
        from .network_sections import network_sections

        sections += network_sections(facts, device)
    return [*sections, cost_section(facts), provenance_section(facts)]


def _answer_sections(facts: StudyFacts) -> list[Section]:
    """Return the sections about the best trial's answers, if it answers with labels."""
    if "classify" not in facts.spec.kind.facts.answers:
        return []
    found = facts.labels
    if found is None:
        section = Section("classes", "Classes")
        section.note(
            f"Trial {facts.best.number} stores no answers for each image, so there are no confusions and no pictures."
        )
        return [section]
    answers = Answers(
        who=f"Trial {facts.best.number}",
        split="validation",
        images=found.images,
        classes=found.classes,
        labels=as_labels(found),
        pictures=_pictures(facts),
        has_confidence=found.confidence_I is not None,
    )
    sections = [class_section(answers), gallery_section(answers), calibration_section(answers)]
    if facts.data is None:
        sections[0].note(facts.no_images)
        del sections[1]
    return sections


def _pictures(facts: StudyFacts) -> Pictures:
    """Return the pictures of the study's images, without those of the sealed test split."""
    if facts.data is None:
        return Pictures({}, facts.spec.config.data)
    manifest = facts.data.manifest
    samples = {manifest.key(sample): sample for sample in manifest.samples if sample.split != "test"}
    return Pictures(samples, facts.spec.config.data)
