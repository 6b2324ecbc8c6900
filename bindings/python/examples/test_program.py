"""The program beside a cluster, where `lockstep` is in the PATH."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import lockstep
from lockstep.testing import DevCluster

pytest_plugins = ["lockstep.testing"]

PATIENCE_S = 60.0


def test_a_copy_of_the_machine_counts_what_is_published(dev_cluster: DevCluster, tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("counter.py")), "1"]
    environment = os.environ | {"LOCKSTEP_CONFIG": str(dev_cluster.config)}
    copy = subprocess.Popen(command, cwd=tmp_path, env=environment)
    try:
        with lockstep.Participant(dev_cluster.endpoint, start=1) as participant:
            me = participant.open("me")
            for _ in range(3):
                participant.publish(me, b"a message", timeout=PATIENCE_S)
            messages = lockstep.messages(participant, timeout=PATIENCE_S)
            totals = (message.payload for message in messages if message.destination == lockstep.CHANNELS + 1)
            assert list(islice(totals, 3)) == [b"total 1", b"total 2", b"total 3"]
    finally:
        copy.kill()
        copy.wait()
