'use strict';

// Publishes a message, reads the stream until it is delivered, and saves the cursor with which another run goes on:
//
//     LOCKSTEP_CONFIG=… NODE_PATH=OUT node hello.js [FILE]          FILE is by default hello.cursor

const { CursorFile, Endpoint, Kind } = require('lockstep');

function run(path) {
  const file = CursorFile.open(path);
  const endpoint = Endpoint.fromEnv();
  const subscriber = endpoint.subscriber(file.startOr({ from: 1n }));
  const publisher = endpoint.publisher();
  const orders = publisher.open('orders');
  const number = publisher.publish(orders, Buffer.from('buy 100 at 42'));
  let isCommitted = false;
  let isDelivered = false;
  while (!isCommitted || !isDelivered) {
    const outcomes = publisher.pollBatch();
    for (const event of outcomes) {
      if (event.kind === Kind.OUTCOME_COMMITTED) {
        console.log(`committed at seq ${event.seq}`);
        isCommitted = true;
      }
    }
    const batch = subscriber.pollBatch();
    for (const event of batch) {
      if (event.kind === Kind.MESSAGE) {
        console.log(`${event.seq}: ${event.payload}`);
        isDelivered ||= event.publisher === orders && event.publisherSeq === number;
      }
    }
    if (outcomes.work + batch.work === 0) publisher.wait(1);
  }
  const cursor = subscriber.cursor();
  file.save(cursor);
  console.log(`resume with ${cursor}`);
  file.close();
  publisher.close();
  subscriber.close();
  endpoint.close();
}

try {
  run(process.argv[2] ?? 'hello.cursor');
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
