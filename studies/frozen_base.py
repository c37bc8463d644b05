"""The frozen base of a study on this machine: its trial, and its weights as a file."""

from pathlib import Path

from optuna.trial import FrozenTrial

from ..bundles.record import WEIGHTS
from ..errors import DataError, UserError
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..storage.artifacts import Artifacts, StoreFailed, get_file
from ..storage.embedded import home
from ..storage.owner_markers import marker_id
from ..storage.store_protocol import has_artifact
from ..trials.checkpoint import base_weights, load_weights, read_weights
from ..trials.trial_config import TrialConfig
from .base import base_study, find_file, pinned_base, recorded_config


class FrozenBase:
    """The classifier trial that a study freezes, known once its own study has ended."""

    def __init__(self, handle: StudyHandle, artifacts: Artifacts) -> None:
        self._handle = handle
        self._artifacts = artifacts
        self._trial: FrozenTrial | None = None

    @property
    def ready(self) -> bool:
        """Whether the trial is known. Until it is, each call asks the database."""
        if self._trial is None:
            self._trial = pinned_base(self._handle)
        return self._trial is not None

    @property
    def study(self) -> StudyHandle:
        """The study of the trial."""
        return base_study(self._handle)

    @property
    def trial(self) -> FrozenTrial:
        """The trial, once it is known."""
        assert self.ready and self._trial is not None
        return self._trial

    @property
    def config(self) -> TrialConfig:
        """The config that the trial recorded."""
        return recorded_config(self.trial)

    def weights(self) -> Path:
        """Return the trial's weights as a file, downloaded once to this machine.

        Raises DataError if they are gone or damaged, which no retry repairs; StoreFailed if the
        store does not answer.
        """
        owner = self.study
        try:
            file = find_file(owner, self.trial, WEIGHTS)
        except UserError as error:
            raise DataError(str(error)) from None
        path = home() / "cache" / "weights" / f"{file.sha256}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                get_file(self._artifacts, self.trial, WEIGHTS, to=path, storage=owner.storage)
            except StoreFailed:
                raise
            except UserError:
                self._check_store()
                raise DataError(
                    f"the weights of base `{owner.study.study_name}:{self.trial.number}` are damaged, or gone from the"
                    f" artifact store (artifact {file.artifact_id}); restore them from a backup, give the workers the"
                    " store that has them with --artifacts, or create the study again with another base."
                ) from None
        return path

    def load_into(self, network: MultitaskNetwork) -> None:
        """Load the trial's weights into encoder, gate and head; the decoder keeps its weights."""
        path = self.weights()
        weights = network.state_dict() | read_weights(path)
        assert base_weights(network).keys() <= weights.keys()
        load_weights(network, weights, source=str(path))

    def _check_store(self) -> None:
        """Raise StoreFailed if the store has no file of this database."""
        marker = marker_id(self._handle.storage)
        if marker is not None and not has_artifact(self._artifacts, marker):
            raise StoreFailed(
                "the artifact store is empty of everything that the workers keep there; see whether its disk is"
                " mounted, or give the store that they use with --artifacts."
            )
