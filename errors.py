"""Errors that a user can cause, each a one-line message with an exit code of the command line."""


class UserError(ValueError):
    """An expected error.

    Its one-line message names the value, the allowed values and the next step.
    """

    exit_code = 1


class UsageError(UserError):
    """A command, an option or a config key that does not exist or is not allowed here."""

    exit_code = 2


class DataError(UserError):
    """Images, masks or labels that cannot be used."""

    exit_code = 3
