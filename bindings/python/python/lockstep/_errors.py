"""Failures of lockstep: the class is the status, the text says what failed, where, and what to do."""

from typing import ClassVar


class LockstepError(Exception):
    """Any failure that lockstep reports. `status` is its name, which is the same in every language: `IN_USE`."""

    status: ClassVar[str] = "UNKNOWN"


class PublishError(LockstepError):
    """A message is not taken."""


class BackpressureError(PublishError):
    """The window is full: take events, and publish again."""

    status = "BACKPRESSURE"


class NotOpenError(PublishError):
    """The publisher is not open in this handle."""

    status = "NOT_OPEN"


class TooLongError(PublishError):
    """The message is longer than the stream or the channel takes."""

    status = "TOO_LONG"


class AheadOfNumberError(PublishError):
    """Numbers before the given one are missing."""

    status = "AHEAD_OF_NUMBER"


class FencedError(PublishError):
    """A newer process has opened the name."""

    status = "FENCED"


class ClosedError(PublishError):
    """The publisher is closed."""

    status = "CLOSED"


class NameRefusedError(LockstepError, ValueError):
    """The name is empty or too long, or the handle has too many."""

    status = "NAME"


class TableFullError(LockstepError):
    """The cluster's table of publishers is full."""

    status = "TABLE_FULL"


class NotAllowedError(LockstepError, PermissionError):
    """The key of this process does not allow it."""

    status = "NOT_ALLOWED"


class TimedOutError(LockstepError, TimeoutError):
    """No leader, or no node, answered in time."""

    status = "TIMED_OUT"


class IoError(LockstepError, OSError):
    """The operating system refused a call."""

    status = "IO"


class ConfigError(LockstepError, ValueError):
    """The configuration is wrong or cannot be read; the text has all problems, with lines of the file."""

    status = "CONFIG"


class ArgumentError(LockstepError, ValueError, TypeError):
    """An argument is none of those that the call takes: of another type, or out of its range."""

    status = "ARGUMENT"


class JournalError(LockstepError):
    """A journal cannot be read, or is damaged."""

    status = "JOURNAL"


class UnansweredError(LockstepError):
    """A request has no answer, and none is awaited: its outcome is unknown, no reader delivers it, or the subscription has
    ended."""

    status = "UNANSWERED"


class ReplicaError(LockstepError):
    """A replica of a machine cannot go on: its stream, its state or its snapshots need an operator."""

    status = "REPLICA"


class TrialError(LockstepError, AssertionError):
    """A machine does not stand its trial; the text has the rule, what has broken it, and the story."""

    status = "TRIAL"


class ClosedHandleError(LockstepError, ValueError):
    """The handle is closed."""

    status = "CLOSED_HANDLE"


class InUseError(LockstepError, RuntimeError):
    """Another thread, or an outer call, is using the handle."""

    status = "IN_USE"


class OtherProcessError(LockstepError, RuntimeError):
    """The handle was made in another process, of which this one is a fork."""

    status = "OTHER_PROCESS"


class PanicError(LockstepError, RuntimeError):
    """A call of this handle has panicked before, which is a defect of lockstep. Please report it."""

    status = "PANIC"
