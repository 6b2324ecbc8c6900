'use strict';

// The numbers of lockstep.h.

// Written from bindings/api.toml: statuses.
const Status = Object.freeze({
  // It is done.
  OK: 0,
  // The window is full: poll, and publish again.
  BACKPRESSURE: 1,
  // The publisher is not open in this handle.
  NOT_OPEN: 2,
  // The message is longer than the stream, the channel or (for a claim) one datagram takes.
  TOO_LONG: 3,
  // Numbers before the given one are missing: neither handed in here nor read in the stream.
  AHEAD_OF_NUMBER: 4,
  // A newer process has opened the name.
  FENCED: 5,
  // The publisher is closed.
  CLOSED: 6,
  // The name is empty or too long, or the handle has too many.
  NAME: 16,
  // No leader answered in time.
  TIMED_OUT: 17,
  // The cluster's table of publishers is full.
  TABLE_FULL: 18,
  // The key of this process does not allow it.
  NOT_ALLOWED: 19,
  // A request has no answer, and none is awaited: its outcome is unknown, no reader delivers it, or the subscription
  // has ended.
  UNANSWERED: 20,
  // The operating system refused a call.
  IO: 32,
  // The configuration is wrong or cannot be read.
  CONFIG: 33,
  // An argument is NULL where it may not be, not UTF-8, or out of its range.
  ARGUMENT: 34,
  // The handle is NULL: it was closed, or never connected.
  CLOSED_HANDLE: 35,
  // A defect of lockstep: the handle refuses all further calls. Please report the text.
  PANIC: 36,
  // The handle was connected in another process, of which this one is a fork.
  OTHER_PROCESS: 37,
  // A call has the handle already: that of another thread, or the poll whose callback this is. Or somebody else has the
  // file open.
  IN_USE: 38,
  // A callback of a machine has failed: its replica, or its trial, has ended.
  MACHINE: 39,
  // A replica of a machine cannot go on: its stream, its state or its snapshots need an operator.
  REPLICA: 40,
  // A machine does not stand its trial: the text has the rule, what has broken it, and the story.
  TRIAL: 41,
});
// End of what is written from bindings/api.toml.

// Written from bindings/api.toml: kinds of events.
const Kind = Object.freeze({
  // The next message: `seq`, `publisher`, `publisher_seq`, `destination`, `timestamp`; the payload.
  MESSAGE: 1,
  // Everything below `seq` is final (`stamped` subscriptions, once per poll).
  COMMITTED: 2,
  // What was reported from `seq` on did not survive a takeover (`stamped` subscriptions).
  RETRACT: 3,
  // A new leadership begins at `seq`; `value` is the epoch.
  EPOCH: 4,
  // The membership from `seq` on has `value` members.
  MEMBERSHIP: 5,
  // A name is opened: `seq`, `timestamp`, `publisher`; `publisher_seq` is the number of its last message, `detail` its
  // incarnation, `value` and `value2` its nonce; the payload is the name.
  OPENED: 6,
  // A publisher is closed: `seq`, `timestamp`, `publisher`; the payload is the reason that its owner gave.
  CLOSED: 7,
  // A gateway reports to other gateways that it runs: `seq`, `publisher`.
  GATEWAY_HEARTBEAT: 8,
  // The frame whose last entry was reported before; the payload is its bytes.
  FRAME: 9,
  // An entry without meaning for applications: `seq`; `detail` is the entry's kind.
  FILTERED: 10,
  // A trading day begins (`detail` 1) or ends (0): `seq`, `timestamp`; the payload is the day's name.
  DAY: 11,
  // The leader carries out an operator's order: `seq`, `timestamp`; `detail` is the order; the payload is the name of
  // the operator's key. Of an order of time (6), which sets the stream's time back to `timestamp`, `value` is the time
  // before.
  ORDERED: 12,
  // Messages from `seq` to below `value` are missing, and requested.
  GAP: 13,
  // The subscription has ended: nobody sends what is missing from `seq` on. `value` is the oldest seq that can be had,
  // `detail` the reason.
  ABANDONED: 14,
  // A message in parts that began at `seq` is discarded, and the subscription goes on: `publisher`; `detail` is 1 for
  // the bytes that are unfinished, 2 for its length, 3 for the entries behind its first part, `value` the limit; or 4
  // if it began before the subscription did, then `seq` is where it ended.
  PARTS_DISCARDED: 15,
  // No multicast group brings the leader any more (`detail` 1), or they do again (0).
  MULTICAST: 16,
  // Everything below `seq` that was seen is delivered.
  CAUGHT_UP: 17,
  // Entries from `seq` on that nobody has in memory are read from a journal over TCP.
  REPLAYING: 18,
  // The subscription has ended: it cannot begin, or continue, at `seq`. `detail` is the reason, 0 if no journal could
  // be reached.
  REFUSED: 19,
  // From `seq` on the stream is of the history `value`, founded on the history `value2`.
  FOUNDED: 20,
  // The subscription has ended, or the publisher's outcomes are unknown: the history `value` was founded at `seq`,
  // below what was final here, `value2`.
  HISTORY_LOST: 21,
  // The subscription has ended: the leader's log ends at `value`, and `seq` would be next here; `value2` is the epoch.
  AHEAD: 22,
  // Commit has lagged behind stamping by `value` entries for `value2` nanoseconds.
  LAG: 23,
  // The subscription has ended: log and cluster differ at `seq`.
  DIVERGED: 24,
  // A replica of a state machine reports to the others of that machine: `seq`, `publisher`.
  MACHINE_REPORT: 25,
  // A coordinator or an operator writes about the streams of a set: `seq`, `publisher`.
  SET_NOTE: 26,
  // A publisher's name is open: `publisher`; `publisher_seq` is the number of its next message, `value` that of its
  // last committed one, `detail` the ticket of the call that opened it.
  NAME_OPENED: 65,
  // The leader refuses a name: `detail` is its ticket; `value` is 1 if the table of publishers is full (then `value2`
  // is its size), 2 if the key of this process does not allow the name.
  NAME_REFUSED: 66,
  // The key of this process does not allow a message: `publisher`, `publisher_seq`. It is sent again until the key's
  // rights change.
  NOT_ALLOWED: 67,
  // A message has its place: `publisher`, `publisher_seq`, `seq`. A takeover may take it back.
  OUTCOME_STAMPED: 68,
  // The reported place of a message did not survive a takeover; it is sent again by itself: `publisher`,
  // `publisher_seq`.
  OUTCOME_UNSTAMPED: 69,
  // A message has its place for ever: `publisher`, `publisher_seq`, `seq`.
  OUTCOME_COMMITTED: 70,
  // The cluster's window is full: messages wait here.
  THROTTLED: 71,
  // The cluster takes messages again.
  UNTHROTTLED: 72,
  // Another message stands under a number that was published here: `publisher`, `publisher_seq`, `seq`.
  OUTCOME_DIVERGED: 73,
  // A newer process has opened the name: nothing from `publisher_seq` on is stamped: `publisher`.
  OUTCOME_FENCED: 74,
  // The publisher is closed: nothing from `publisher_seq` on is stamped: `publisher`.
  OUTCOME_CLOSED: 75,
  // Outcomes are unknown and the handle is of no more use: open the names in a new one.
  OUTCOMES_UNKNOWN: 76,
  // A message in parts has its place for ever, and no reader delivers it, as its publisher was held up between its
  // parts: `publisher`, `publisher_seq`, `seq`. Publish it again, if it still holds.
  OUTCOME_DISCARDED: 77,
});
// End of what is written from bindings/api.toml.

// Written from bindings/api.toml: deliveries.
const Delivery = Object.freeze({
  // When the leader's datagram arrives; a takeover may retract it.
  STAMPED: 0,
  // When a quorum holds it; final.
  COMMITTED: 1,
});
// End of what is written from bindings/api.toml.

// Written from bindings/api.toml: kinds of starts.
const StartKind = Object.freeze({
  // At the end of the stream as it is at the first poll.
  LIVE: 0,
  // At `seq`.
  FROM: 1,
  // At the oldest entry that a journal has.
  OLDEST: 2,
  // At `cursor`.
  CURSOR: 3,
});
// End of what is written from bindings/api.toml.

// What an argument is that is left out.
// Written from bindings/api.toml: defaults.
const Default = Object.freeze({
  // Ten seconds, behind which a leader would have answered after several takeovers.
  TIMEOUT_MS: 10000,
  // Messages of a turn that gives them one by one.
  LIMIT: 256,
  // Messages of a batch; it is full with 256 KiB of payloads anyway.
  BATCH_LIMIT: 4096,
});
// End of what is written from bindings/api.toml.

module.exports = { Default, Delivery, Kind, StartKind, Status };
