"""The base class of replicated state machines."""

from abc import ABC, abstractmethod

from lockstep._native import Input, Output


class Machine(ABC):
    """A deterministic program: its state is a function of the inputs in their order. `run` and `App` run copies of it on a
    cluster, `trial` and `twice` judge it.

    Equal inputs give equal states and equal outputs, in every copy, on every host, in every run: `apply` reads no clock,
    no file and no variable outside the machine, draws no random number, and iterates over no set."""

    VERSION: int = 1
    """The version of the rules and of the snapshots: a snapshot of another version is not restored. Raise it with each
    change of `apply`, so that copies with different rules are told apart in the stream."""

    @abstractmethod
    def apply(self, input: Input, output: Output) -> None:
        """Applies the next input; what follows from it goes to `output`. An input that it cannot use is answered or
        ignored. An exception ends the replica: nothing of the input is published, and nothing more is applied."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The whole state. Equal states give equal bytes: it is their digest as well."""

    @abstractmethod
    def restore(self, state: bytes) -> None:
        """Takes the state that `snapshot` of the same version has given. It is called once, with a machine that the
        factory has just made. The bytes are checked before."""

    def settings(self) -> str:
        """What all copies have alike beside their rules (a limit, a currency), as a text for people; equal settings give
        equal texts. A copy publishes nothing before the stream shows that the first copy of this version began with the
        same text; where it did not, it ends with both. By default nothing is compared."""
        return ""

    def state_text(self) -> str:
        """The state as a text for people, which a debugger prints. An exception ends nothing: its text stands there instead.
        By default the snapshot is printed."""
        return ""

    def query(self, request: bytes) -> bytes:
        """The answer to a question about the state, which it must not change (`POST /query` of a replica that has
        `serve`). By default nothing. An exception goes to `sys.unraisablehook`, and nothing is answered."""
        return b""
