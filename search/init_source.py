"""The origin of the weights that a study's networks start from."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class InitSource(BaseModel):
    """A trial, bundle or file whose weights are stored with the study.

    ``source`` is what the user gave, ``sha256`` that of the trial's weights, of the bundle's record
    or of the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    form: Literal["trial", "bundle", "file"]
    sha256: str

    def __str__(self) -> str:
        """Return the source in words."""
        return f"{self.form} {self.source} (sha256 {self.sha256[:12]})"


def init_origin(init: InitSource | None) -> dict[str, Any]:
    """Return the entry ``init`` of a provenance; empty without weights to start from."""
    return {} if init is None else {"init": init.model_dump()}
