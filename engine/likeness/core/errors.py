"""The one error type that reaches an artist, and the exit codes of the command line."""

from __future__ import annotations

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_ENVIRONMENT = 4
EXIT_CANCELLED = 5
EXIT_DEFECT = 70

CANCELLED = "job.cancelled"

_EXIT_BY_FAMILY = {
    "usage": EXIT_USAGE,
    "capture": EXIT_INPUT,
    "photo": EXIT_INPUT,
    "input": EXIT_INPUT,
    "body": EXIT_INPUT,
    "avatar": EXIT_INPUT,
    "motion": EXIT_INPUT,
    "engine": EXIT_ENVIRONMENT,
    "output": EXIT_ENVIRONMENT,
    "environment": EXIT_ENVIRONMENT,
    "job": EXIT_CANCELLED,
    "defect": EXIT_DEFECT,
}


class LikenessError(Exception):
    """Something that the artist can understand and act upon.

    code: stable, dotted (`capture.no_person`); its first part decides the exit code.
    message: one sentence that says what is wrong with which file.
    hint: one sentence that says what to do next.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint

    @property
    def exit_code(self) -> int:
        """Exit code of the command line for this error (architecture, section 6)."""
        return _EXIT_BY_FAMILY.get(self.code.split(".", 1)[0], EXIT_DEFECT)

    def to_dict(self) -> dict[str, str]:
        """The error as the protocol and `--json` carry it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


def cancelled() -> LikenessError:
    """The error that unwinds a job when the artist has cancelled it."""
    return LikenessError(CANCELLED, "The job was cancelled.", "Run the same command with --resume to go on.")
