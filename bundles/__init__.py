"""Bundles: their format, prediction, scoring, verification, import and export to ONNX. No database, no Optuna."""
