'use strict';

// Makes requests beside an application that answers each to its publisher, `answer to NUMBER`, and then `more`; it answers
// `later` when the next request comes. tests/foreign/bindings/node.rs runs it.
//
//     requests.js load TAKEOVERS   until so many were seen: each request has its answer, and each event is delivered once
//     requests.js late             one request is not answered in its time; what `answer` throws passes through another

const assert = require('node:assert');
const { EVERYBODY, Endpoint, Kind, Status } = require('lockstep');

const PATIENCE_MS = 60_000;
const MESSAGES = 3; // of one request: it, its answer, and one more

const participant = Endpoint.fromEnv().participant();
const id = participant.open('requests-node', PATIENCE_MS);
const seen = { messages: 0, committed: 0, epochs: 0, lastSeq: 0n };

function onEvent(event) {
  if (event.kind === Kind.EPOCH) seen.epochs++;
  if (event.kind === Kind.OUTCOME_COMMITTED) seen.committed++;
  if (event.kind !== Kind.MESSAGE) return;
  assert(event.seq > seen.lastSeq);
  seen.lastSeq = event.seq;
  seen.messages++;
}

function request(text, timeoutMs) {
  return participant.request(id, Buffer.from(text), EVERYBODY, timeoutMs, (event, number) => {
    onEvent(event);
    const isAnswer =
      event.kind === Kind.MESSAGE && event.destination === id && event.payload.toString() === `answer to ${number}`;
    return isAnswer ? event.seq : undefined;
  });
}

function answered() {
  assert.strictEqual(request('ask', PATIENCE_MS), seen.lastSeq, 'what is behind the answer is left for the next poll');
}

function load(takeovers) {
  let requests = 0;
  for (; seen.epochs < takeovers || requests < 20; requests++) answered();
  while (!participant.isDrained() || seen.messages < MESSAGES * requests) {
    participant.wait(1);
    for (const event of participant.pollBatch(64)) onEvent(event);
  }
  assert.deepStrictEqual([seen.messages, seen.committed], [MESSAGES * requests, requests]);
  console.log(`${requests} requests, each with its answer, ${seen.epochs} takeovers`);
}

function late() {
  assert.throws(() => request('later', 200), (error) => {
    assert.strictEqual(error.status, Status.TIMED_OUT);
    assert.match(error.message, /request 1 has no answer within 200ms.*may be answered later/);
    return true;
  });
  assert.deepStrictEqual([seen.messages, seen.committed], [1, 1]);
  answered();
  assert.strictEqual(seen.messages, 5, 'both requests, the late answer with its companion, and the answer');
  const throws = () => { throw new Error('seven'); };
  assert.throws(() => participant.request(id, Buffer.from('ask'), EVERYBODY, PATIENCE_MS, throws), /^Error: seven$/);
  const before = participant.outcomes();
  assert.throws(() => participant.request(id, Buffer.from('ask'), PATIENCE_MS, throws), { status: Status.ARGUMENT });
  assert.deepStrictEqual(participant.outcomes(), before, 'a request without a function is not published');
  assert(request('ask', PATIENCE_MS) > 0n);
  console.log('answered later');
}

const [what, takeovers] = process.argv.slice(2);
if (what === 'load') load(Number(takeovers));
else late();
participant.close();
