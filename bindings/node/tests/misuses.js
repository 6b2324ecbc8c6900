'use strict';

// Commits each misuse of docs/BINDINGS.md that Node can express, beside a cluster, and prints its name and the name of
// the status that answers it; tests/foreign/bindings/misuses.rs compares them with the table.

const fs = require('fs');
const os = require('os');
const path = require('path');
const { CursorFile, EVERYBODY, Endpoint, Kind, MergedSubscriber, Status } = require('lockstep');

const NAMES = new Map(Object.entries(Status).map(([name, number]) => [number, name]));

function answer(misuse, call) {
  let word = 'OK';
  try {
    call();
  } catch (error) {
    word = NAMES.get(error.status) ?? error.constructor.name;
  }
  console.log(`${misuse}\t${word}`);
}

const endpoint = Endpoint.fromEnv();
const publisher = endpoint.publisher();
const id = publisher.open('misuses-node', 10_000);

// What another thread receives of a handle is no handle: the table has no word for it.
if (typeof structuredClone(publisher).publish === 'function') console.log('two-threads\tOK');

answer('unknown-id', () => publisher.publish(12345, Buffer.from('x')));
answer('too-long', () => publisher.publish(id, Buffer.alloc(1 << 26)));
answer('empty-name', () => publisher.open('', 1000));
answer('long-name', () => publisher.open('x'.repeat(65), 1000));
answer('zero-in-name', () => publisher.open('a\0b', 1000));
answer('start-zero', () => endpoint.subscriber({ from: 0n }));
answer('start-negative', () => endpoint.subscriber({ from: -1n }));
answer('start-fraction', () => endpoint.subscriber({ from: 1.5 }));
answer('start-text', () => endpoint.subscriber({ cursor: 'here' }));
answer('negative-wait', () => publisher.wait(-1));
answer('negative-open', () => publisher.open('another', -1));
answer('negative-limit', () => publisher.pollBatch(-1));

const none = () => undefined;
const asking = endpoint.participant();
const asks = asking.open('misuses-node-requests', 10_000);
let nested = () => {};
asking.request(asks, Buffer.from('ask'), EVERYBODY, 10_000, (event, number) => {
  try {
    asking.publish(asks, Buffer.from('nested'));
  } catch (error) {
    nested = () => { throw error; };
  }
  return event.kind === Kind.MESSAGE && event.publisher === asks && event.publisherSeq === number ? true : undefined;
});
answer('call-in-request', nested);
answer('request-late', () => asking.request(asks, Buffer.from('ask'), EVERYBODY, 1, none));
answer('request-negative', () => asking.request(asks, Buffer.from('ask'), EVERYBODY, -1, none));
const closing = endpoint.participant();
const closed = closing.open('closing');
answer('close-in-request', () => closing.request(closed, Buffer.from('ask'), undefined, undefined, (event, number) => {
  closing.close();
  return event.kind === Kind.MESSAGE && event.publisher === closed && event.publisherSeq === number ? true : undefined;
}));
const first = endpoint.participant();
const second = endpoint.participant();
const fenced = first.open('fenced', 10_000);
second.open('fenced', 10_000);
answer('request-fenced', () => first.request(fenced, Buffer.from('ask'), undefined, undefined, none));
const elsewhere = endpoint.participant({ cursor: '1:1:1' });
while (!elsewhere.isEnded()) {
  elsewhere.wait(1);
  elsewhere.pollBatch(64);
}
answer('request-ended', () => elsewhere.request(asks, Buffer.from('ask'), undefined, undefined, none));
for (const handle of [asking, first, second, elsewhere]) handle.close();

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lockstep-misuses-'));
const damaged = path.join(folder, 'damaged');
fs.writeFileSync(damaged, 'here');
const file = CursorFile.open(path.join(folder, 'cursor'));
answer('file-in-use', () => CursorFile.open(path.join(folder, 'cursor')));
answer('file-damaged', () => CursorFile.open(damaged));
answer('file-nowhere', () => file.save('0000000000000001:0:0000000000000000'));
file.close();
answer('file-closed', () => file.save('0000000000000001:1:0000000000000000'));
fs.rmSync(folder, { recursive: true });

// Of the file of one cluster, which is a set of one stream.
answer('merged-start', () => MergedSubscriber.connect({ start: 'here' }));
answer('merged-negative-connect', () => MergedSubscriber.connect({ timeoutMs: -1 }));
const merged = MergedSubscriber.connect({ start: 'beginning' });
answer('merged-negative-wait', () => merged.wait(-1));
answer('merged-negative-limit', () => merged.pollBatch(-1));
if (typeof structuredClone(merged).pollBatch === 'function') console.log('merged-two-threads\tOK');
merged.close();
answer('merged-closed', () => merged.pollBatch());
answer('merged-close-twice', () => merged.close());

publisher.close();
answer('use-after-close', () => publisher.publish(id, Buffer.from('x')));
answer('close-twice', () => publisher.close());
endpoint.close();
answer('closed-endpoint', () => endpoint.publisher());
