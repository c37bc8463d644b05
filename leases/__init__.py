"""Trial leases: claim, heartbeat, finish, by statements on Optuna's tables."""
