"""Failures of lockstep: the class is the status, the text says what failed, where, and what to do."""


class LockstepError(Exception):
    """Any failure that lockstep reports."""


class PublishError(LockstepError):
    """A message is not taken."""


class BackpressureError(PublishError):
    """The window is full: take events, and publish again."""


class NotOpenError(PublishError):
    """The publisher is not open in this handle."""


class TooLongError(PublishError):
    """The message is longer than the stream or the channel takes."""


class AheadOfNumberError(PublishError):
    """Numbers before the given one are missing."""


class FencedError(PublishError):
    """A newer process has opened the name."""


class ClosedError(PublishError):
    """The publisher is closed."""


class NameRefusedError(LockstepError, ValueError):
    """The name is empty or too long, or the handle has too many."""


class TableFullError(LockstepError):
    """The cluster's table of publishers is full."""


class NotAllowedError(LockstepError, PermissionError):
    """The key of this process does not allow it."""


class TimedOutError(LockstepError, TimeoutError):
    """No leader, or no node, answered in time."""


class IoError(LockstepError, OSError):
    """The operating system refused a call."""


class ConfigError(LockstepError, ValueError):
    """The configuration is wrong or cannot be read; the text has all problems, with lines of the file."""


class JournalError(LockstepError):
    """A journal cannot be read, or is damaged."""


class ReplicaError(LockstepError):
    """A replica of a machine cannot go on: its stream, its state or its snapshots need an operator."""


class TrialError(LockstepError, AssertionError):
    """A machine does not stand its trial; the text has the rule, what has broken it, and the story."""


class ClosedHandleError(LockstepError, ValueError):
    """The handle is closed."""


class InUseError(LockstepError, RuntimeError):
    """Another thread, or an outer call, is using the handle."""


class OtherProcessError(LockstepError, RuntimeError):
    """The handle was made in another process, of which this one is a fork."""


class PanicError(LockstepError, RuntimeError):
    """A call of this handle has panicked before, which is a defect of lockstep. Please report it."""
