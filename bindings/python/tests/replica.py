"""A replica of the counter of docs/APPLY.md with many snapshots: PROGRAM NAME NUMBER FOLDER, in a process of its own."""

import runpy
import sys

import lockstep

program, name, number, folder = sys.argv[1:]
counter = runpy.run_path(program)["Counter"]
lockstep.run(counter, name, int(number), folder, snapshot_every=20, digest_every=10)
