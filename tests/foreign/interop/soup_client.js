// One connection of node-soupbintcp's client (npm `soupbintcp`, Apache-2.0): see tests/foreign/interop.rs for what it must do.
//
// usage: soup_client.js HOST PORT USER PASSWORD SESSION NUMBER FIRST LAST COUNT IDLE
//
// Logs in, sends `order FIRST` to `order LAST`, waits for COUNT sequenced messages in all, stays connected without
// a word for IDLE seconds, and logs out. Prints what it is told, a line each; numbers of messages are counted here,
// from the number with which the login was accepted.
//
// What this client does in its own way:
//
// * It speaks 3.00, where servers send no unsequenced data: a `U` is an error event, and an error without a listener
//   ends the process. So a user of it must not be `numbered`, whose login is answered by one.
// * It counts no messages, and hands the session over with the blanks before it.
// * Debug packets are dropped unseen: why a login was refused is told to nobody.
// * Each packet goes out as two writes, header and payload: two segments, or a payload that waits for an ack.
// * Its parser keeps all bytes until a read ends at the end of a packet: under steady load its buffer grows.
// * An error of the socket leaves its heartbeat timer running, so the process must be ended.
'use strict';

const soup = require('soupbintcp');

const [host, port, username, password, session, number, first, last, count, idle] = process.argv.slice(2);
const PATIENCE_MS = 50_000;
const messages = [];
let accepted = null;
let idles = false;

const say = (...words) => console.log(...words);
const fail = (what) => {
  say('failed', what);
  process.exit(1);
};
setTimeout(() => fail('too late'), PATIENCE_MS).unref();

const client = new soup.Client({ host, port: Number(port) }, () => {
  client.login({
    username,
    password,
    requestedSession: session,
    requestedSequenceNumber: Number(number),
  });
});

const look = () => {
  if (idles || accepted === null || messages.length < Number(count))
    return;
  idles = true;
  setTimeout(() => {
    say('still connected');
    client.logout();
  }, Number(idle) * 1000);
};

client.on('accept', (answer) => {
  accepted = answer.sequenceNumber;
  say('accepted', answer.session.trim(), accepted);
  for (let order = Number(first); order <= Number(last); order++)
    client.send(Buffer.from(`order ${order}`));
  look();
});

client.on('reject', (answer) => {
  say('refused', answer.rejectReasonCode);
  client.end();
});

client.on('message', (message) => {
  messages.push(Buffer.from(message));
  look();
});

client.on('error', (error) => fail(error.message));

// After a logout the gateway closes; before one it has cut us off.
client.on('end', () => {
  messages.forEach((message, index) => say('message', accepted + index, message.toString('hex')));
  say('done');
  client.end();
});
