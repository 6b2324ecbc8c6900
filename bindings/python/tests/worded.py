"""Steps a counter with words for its state by a script on stdin: PROGRAM has the counter."""

import runpy
import sys

import lockstep

Counter = runpy.run_path(sys.argv[1])["Counter"]


class Worded(Counter):  # type: ignore[misc, valid-type]
    """Has words for its state, but for one."""

    def state_text(self) -> str:
        messages = sum(self.counts.values())
        if messages == 3:
            raise ValueError("there are no words for it")
        return f"{messages} messages"


lockstep.debug(Worded, "worded")
