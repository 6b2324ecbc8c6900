'use strict';

// Holds the promises of the module lockstep; tests/foreign/bindings/node.rs runs it beside a cluster.

const assert = require('node:assert');
const { Delivery, Endpoint, Kind, Status, version } = require('lockstep');

function refused(status, words, call) {
  assert.throws(call, (error) => {
    assert.strictEqual(error.status, status);
    assert.match(error.message, words);
    return true;
  });
}

assert.match(version(), /^\d+\.\d+\.\d+/);
refused(Status.CONFIG, /\/nowhere\/lockstep\.toml/, () => Endpoint.fromFile('/nowhere/lockstep.toml'));
assert.throws(() => Endpoint.fromFile(7), /the path is no text/);
assert.throws(() => Endpoint.fromFile('a\0b'), /the path is no text/);

const endpoint = Endpoint.fromEnv();
refused(Status.ARGUMENT, /'here' is no cursor/, () => endpoint.subscriber({ cursor: 'here' }));
refused(Status.ARGUMENT, /seq 0/, () => endpoint.subscriber({ from: 0n }));
assert.throws(() => endpoint.subscriber({ from: 1 }), /the seq is no BigInt/);
refused(Status.ARGUMENT, /delivery/, () => endpoint.subscriber({ delivery: 7 }));

// Messages, each delivered once and in order, with one outcome; backpressure is no error, and nothing stays in memory.
const publisher = endpoint.publisher();
const subscriber = endpoint.subscriber({ delivery: Delivery.COMMITTED, from: 1n });
endpoint.close();
refused(Status.CLOSED_HANDLE, /closed/, () => endpoint.publisher());
const id = publisher.open('from-node', 10000);
refused(Status.NOT_OPEN, /./, () => publisher.publish(id + 1, Buffer.from('x')));
refused(Status.TOO_LONG, /./, () => publisher.publish(id, Buffer.alloc(1 << 20)));
assert.throws(() => publisher.publish(id, 'text'), /no Buffer/);
assert.throws(() => publisher.publish(-1, Buffer.from('x')), /id is no number/);
const last = BigInt(process.env.LOCKSTEP_BINDINGS_MESSAGES ?? '10000');
const SLACK_BYTES = 64 << 20; // of a heap whose garbage is collected late
let residentAtHalf = 0;
let next = 1n;
let committed = 0n;
let delivered = 0n;
while (committed < last || delivered < last) {
  if (residentAtHalf === 0 && delivered >= last / 2n) residentAtHalf = process.memoryUsage.rss();
  for (let count = 0; count < 64 && next <= last; count++) {
    const number = publisher.publish(id, Buffer.from(`message ${next}`));
    if (number === null) break;
    assert.strictEqual(number, next);
    next += 1n;
  }
  const outcomes = publisher.pollBatch();
  for (const event of outcomes) {
    if (event.kind === Kind.OUTCOME_COMMITTED) assert.strictEqual(event.publisherSeq, ++committed);
  }
  const batch = subscriber.pollBatch();
  for (const event of batch) {
    if (event.kind !== Kind.MESSAGE || event.publisher !== id) continue;
    assert.strictEqual(event.publisherSeq, ++delivered);
    assert.strictEqual(event.payload.toString(), `message ${delivered}`);
  }
  assert.throws(() => batch.event(batch.length), RangeError);
  if (outcomes.work + batch.work === 0) publisher.wait(1);
}
const grown = process.memoryUsage.rss() - residentAtHalf;
assert.ok(grown < SLACK_BYTES, `the second half of ${last} messages took ${grown} bytes of memory`);
assert.ok(publisher.isDrained());
const { committed: inStream, ...others } = publisher.outcomes();
assert.ok(inStream > 0n && Object.values(others).every((count) => count === 0n), `${inStream} are committed`);
assert.ok(!subscriber.isEnded());
publisher.close();
publisher.close();
refused(Status.CLOSED_HANDLE, /closed/, () => publisher.publish(id, Buffer.from('x')));
refused(Status.CLOSED_HANDLE, /closed/, () => publisher.pollBatch());
subscriber.close();
refused(Status.CLOSED_HANDLE, /closed/, () => subscriber.cursor());
console.log(`${last} messages, each with one outcome; in their second half the resident memory grew by ${grown} bytes`);
