"""The tests that `make quick` leaves out."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# These train networks, export them or start servers of their own.
SLOW_FILES = (
    "bundles/test_compact.py",
    "bundles/test_import_checkpoint.py",
    "bundles/test_leaf_checkpoints.py",
    "bundles/test_leaf_decoders.py",
    "bundles/test_onnx_model.py",
    "bundles/test_predict.py",
    "chaos/test_chaos.py",
    "cli/test_try_data.py",
    "models/test_decoders_contract.py",
    "models/test_network_onnx.py",
    "models/test_plugin_onnx.py",
    "storage/test_database_pgbouncer.py",
    "storage/test_db_errors.py",
    "storage/test_embedded.py",
    "trials/test_fit_state.py",
    "trials/test_head_start.py",
    "trials/test_mixing.py",
    "trials/test_train_frozen_bn.py",
    "trials/test_train_half_precision.py",
    "trials/test_weight_average.py",
    "trials/test_micro_batch.py",
    "trials/test_train_out_of_memory.py",
    "trials/test_plugin_losses.py",
    "trials/test_train_presets.py",
    "trials/test_supernet.py",
    "trials/test_train.py",
    "trials/test_train_multitask.py",
    "workers/test_worker_outage.py",
)


def is_slow(item: pytest.Item) -> bool:
    """Return True for a test of a slow file or with the session's database."""
    return "_server" in getattr(item, "fixturenames", ()) or item.path.relative_to(TESTS).as_posix() in SLOW_FILES
