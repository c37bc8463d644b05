"""Errors that a user can cause: one line each, with the exit code that the command line returns for them."""


class UserError(ValueError):
    """What was given, what holds, what to do next, in one line."""

    exit_code = 1


class UsageError(UserError):
    """A command, an option or a config key that does not exist or does not fit."""

    exit_code = 2


class DataError(UserError):
    """The images, masks or labels are not as they should be."""

    exit_code = 3
