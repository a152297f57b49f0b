"""Errors that a user sees: what was wrong, where, and what to do; each kind has its exit code."""

from __future__ import annotations


class X3DDeployError(Exception):
    """Something failed (exit code 1).

    Args:
        message: what was wrong and where, in one sentence.
        hint: what the user can do about it.
        details: further lines, e.g. every offending key.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", details: tuple[str, ...] | list[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.details)]
        if self.hint:
            lines.append(f"-> {self.hint}")
        # Libraries' messages have several lines, and names may have: none of them looks like a line of its own.
        return "\n".join(line.replace("\n", "\n  ") for line in lines)


class UsageError(X3DDeployError):
    """The request makes no sense as it was typed (exit code 2)."""

    exit_code = 2


class GateError(X3DDeployError):
    """The work ran, and a gate (parity, accuracy) was not met (exit code 3)."""

    exit_code = 3


class MissingRequirementError(X3DDeployError):
    """The machine lacks what the command needs (exit code 4); the hint says what to install."""

    exit_code = 4


class CheckpointError(X3DDeployError):
    """A checkpoint that cannot be read, understood or trusted."""


class BundleError(X3DDeployError):
    """A bundle that is missing, incomplete, altered or not ours."""


class DataError(X3DDeployError):
    """Clips, annotations or videos that cannot be read, are damaged or contradict each other."""
