'use strict';

// The loop of `lockstep-bench languages` in Node:
//
//     loop.js closed WARM_UP_MS MS        prints the nanoseconds of each message, a line each
//     loop.js read batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS

const { Endpoint, Kind } = require('lockstep');

const MESSAGE_LENGTH = 64;
const LIMIT = 256;
const BATCH_LIMIT = 4096;
const WAIT_MS = 1;
const PATIENCE_MS = 10_000;
/** Polls that find the place of a stream that begins now. */
const BEGIN_NS = 200_000_000n;
const MS = 1_000_000n;
const now = process.hrtime.bigint;

function runClosed(endpoint, warmUp, time) {
  const participant = endpoint.participant();
  const id = participant.open('loop', PATIENCE_MS);
  for (const from = now(); now() - from < BEGIN_NS; ) {
    participant.pollBatch(LIMIT);
    participant.wait(WAIT_MS);
  }
  const message = Buffer.alloc(MESSAGE_LENGTH, 0x5a);
  const samples = [];
  const began = now();
  for (;;) {
    const sent = now();
    const number = participant.publish(id, message);
    let isDelivered = false;
    while (!isDelivered) {
      const batch = participant.pollBatch(LIMIT);
      for (const event of batch) {
        isDelivered ||= event.kind === Kind.MESSAGE && event.publisher === id && event.publisherSeq === number;
      }
      if (batch.work === 0) participant.wait(WAIT_MS);
    }
    const came = now();
    if (came - began >= warmUp + time) break;
    if (came - began >= warmUp) samples.push(came - sent);
  }
  console.log(samples.join('\n'));
  participant.close();
}

function runRead(endpoint, warmUp, time) {
  const subscriber = endpoint.subscriber();
  let messages = 0;
  let bytes = 0;
  let before;
  const began = now();
  let at = began;
  while (at - began < warmUp + time) {
    const batch = subscriber.pollBatch(BATCH_LIMIT);
    for (const event of batch) {
      if (event.kind === Kind.MESSAGE) {
        messages++;
        bytes += event.payload.length;
      }
    }
    at = now();
    if (before === undefined && at - began >= warmUp) before = { at, messages, bytes };
    if (batch.work === 0) subscriber.wait(WAIT_MS);
  }
  console.log(messages - before.messages, bytes - before.bytes, String(at - before.at));
  subscriber.close();
}

function run(words) {
  const isClosed = words.length === 3 && words[0] === 'closed';
  const isRead = words.length === 4 && words[0] === 'read' && words[1] === 'batch';
  if (!isClosed && !isRead) throw new Error('loop.js closed WARM_UP_MS MS, or loop.js read batch WARM_UP_MS MS');
  const [warmUp, time] = words.slice(-2).map((word) => BigInt(word) * MS);
  const endpoint = Endpoint.fromEnv();
  (isClosed ? runClosed : runRead)(endpoint, warmUp, time);
  endpoint.close();
}

try {
  run(process.argv.slice(2));
} catch (error) {
  console.error(`loop.js: ${error.message}`);
  process.exitCode = 1;
}
