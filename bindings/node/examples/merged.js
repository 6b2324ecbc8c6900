'use strict';

// Reads the streams of a set in their one order:
//
//     LOCKSTEP_CONFIG=… NODE_PATH=OUT node merged.js [START [COUNT]]
//
// START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after COUNT
// messages.

const { Kind, MergedSubscriber } = require('lockstep');

function read(start, count) {
  const merged = MergedSubscriber.connect({ start });
  let left = count;
  while (left > 0 && !merged.isEnded()) {
    const batch = merged.pollBatch(Math.min(left, 64));
    for (const event of batch) {
      if (event.kind !== Kind.MESSAGE) continue;
      const { number, stream, seq, publisher, publisherSeq, destination, payload } = event;
      console.log(`${number}\t${merged.streamName(stream)}\t${seq}\t${publisher}:${publisherSeq}\t${destination}\t${payload}`);
      left -= 1;
    }
    if (batch.work === 0) merged.wait(10);
  }
  console.log(`resume with ${merged.cursor()}`);
  merged.close();
}

try {
  read(process.argv[2] ?? 'live', Number(process.argv[3] ?? Infinity));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
