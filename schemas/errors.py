"""Every error a person can meet says where it happened, what is wrong, and how to mend it."""

from __future__ import annotations

from dmforge.schemas.visible import escaped_in_line


class DmforgeError(Exception):
    """The one family of errors that dmforge raises on purpose; the command line prints it without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        """`message` names the fault with its value, `where` file and field, `hint` what to do about it."""
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        message_line = escaped_in_line(
            f"{self.where}: {self.message}" if self.where else self.message
        )  # both quote what others wrote
        return f"{message_line}\n  hint: {escaped_in_line(self.hint)}" if self.hint else message_line

    def __reduce__(self):  # keyword-only arguments would be lost on the way back from a worker process
        return _rebuild, (type(self), self.message, self.where, self.hint)


def _rebuild(error_class: type[DmforgeError], message: str, where: str, hint: str) -> DmforgeError:
    return error_class(message, where=where, hint=hint)


class InputError(DmforgeError):
    """The caller gave something that can't be used: wrong usage, a bad file, a bad value. Nothing was changed."""

    exit_code = 2


class LakeError(DmforgeError):
    """What is on the disk isn't what the lake wrote there, or the disk refused. Nothing acknowledged is lost."""


class Transient(DmforgeError):
    """It may work the next time (network, full disk, quota): the item gets no outcome and stays pending."""


def first_line(error: BaseException) -> str:
    """The first line of the message of an error that others raise; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
