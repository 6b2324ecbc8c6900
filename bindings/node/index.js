'use strict';

// Publishes into the stream of a lockstep cluster, and subscribes to it, by way of the C library: lockstep.h says more
// about each function. Calls never leave the thread; `wait` blocks it. A failure is an Error with `status`, a number of
// `Status`; its message says what failed, where, and what to do.

const { Default, Delivery, Kind, StartKind, Status } = require('./constants.js');
const native = require('./lockstep.node');

const EVERYBODY = 0;
const ROW = 64;
const PLACE = 24;

/** The events of one poll, in the order of the stream. Nothing changes them later. */
class Batch {
  constructor([work, rows, payloads]) {
    /** The work of the poll; 0 is an idle turn. */
    this.work = work;
    this.length = rows.length / ROW;
    this.rows = rows;
    this.payloads = payloads;
  }

  /** An event as an object; its kind, a number of `Kind`, says which fields have a meaning. The others are 0. */
  event(index) {
    if (!(index >= 0 && index < this.length)) throw new RangeError(`there is no event ${index} of ${this.length}`);
    const { rows } = this;
    const at = index * ROW;
    const payloadAt = rows.readUInt32LE(at + 48);
    return {
      seq: rows.readBigUInt64LE(at),
      publisherSeq: rows.readBigUInt64LE(at + 8),
      timestamp: rows.readBigUInt64LE(at + 16),
      value: rows.readBigUInt64LE(at + 24),
      value2: rows.readBigUInt64LE(at + 32),
      publisher: rows.readUInt32LE(at + 40),
      destination: rows.readUInt32LE(at + 44),
      kind: rows.readUInt32LE(at + 56),
      detail: rows.readUInt32LE(at + 60),
      payload: this.payloads.subarray(payloadAt, payloadAt + rows.readUInt32LE(at + 52)),
    };
  }

  * [Symbol.iterator]() {
    for (let index = 0; index < this.length; index++) yield this.event(index);
  }
}

/** The events of one poll in the merged order of a set. Nothing changes them later. */
class MergedBatch extends Batch {
  constructor([work, rows, payloads, places]) {
    super([work, rows, payloads]);
    this.places = places;
  }

  /**
   * An event as an object, and its place in the order: its merged `number` (0n of an event that stands for no entry), the
   * merged `time`, and its `stream`, the number of the cluster; all of type BigInt.
   */
  event(index) {
    const event = super.event(index);
    const at = index * PLACE;
    event.number = this.places.readBigUInt64LE(at);
    event.time = this.places.readBigUInt64LE(at + 8);
    event.stream = this.places.readBigUInt64LE(at + 16);
    return event;
  }
}

/** The error of an argument. */
function refused(text) {
  return Object.assign(new TypeError(text), { status: Status.ARGUMENT });
}

/** Where a handle begins to read: the kind of start, and what that kind needs. */
function startOf({ from, cursor, oldest }) {
  const kind = cursor !== undefined ? StartKind.CURSOR : oldest ? StartKind.OLDEST
    : from !== undefined ? StartKind.FROM : StartKind.LIVE;
  return [kind, from ?? 0n, cursor ?? ''];
}

/** Which cluster, and how it is reached. Handles are connected with it, and do not need it afterwards. */
class Endpoint {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /** The endpoint of the file that LOCKSTEP_CONFIG names, or of /etc/lockstep/lockstep.toml. */
  static fromEnv() {
    return new Endpoint(native.endpointFromEnv());
  }

  /** The endpoint of the cluster's file. */
  static fromFile(path) {
    return new Endpoint(native.endpointFromFile(path));
  }

  /** A handle that publishes; its events are outcomes. */
  publisher() {
    return new Publisher(native.connectPublisher(this.#handle));
  }

  /**
   * A handle that reads the stream: `from` a seq (a BigInt; the first is 1n), at a `cursor` (the text of an earlier
   * run), from the `oldest` entry that a journal has, or without any of these live.
   */
  subscriber({ from, cursor, oldest = false, delivery = Delivery.COMMITTED } = {}) {
    return new Subscriber(native.connectSubscriber(this.#handle, ...startOf({ from, cursor, oldest }), delivery));
  }

  /** A handle that publishes and reads the stream, over one device; the start is as that of a subscriber. */
  participant({ from, cursor, oldest = false, delivery = Delivery.COMMITTED } = {}) {
    return new Participant(native.connectParticipant(this.#handle, ...startOf({ from, cursor, oldest }), delivery));
  }

  /** Frees it; handles that were connected with it go on. */
  close() {
    native.close(this.#handle);
  }
}

// The handle of the library is a property of this module alone.
const HANDLE = Symbol('handle');

/** What every handle has. */
class StreamHandle {
  constructor(handle) {
    Object.defineProperty(this, HANDLE, { value: handle });
  }

  /**
   * One turn: receives, sends, and returns at most `limit` messages and every other event as a Batch. Never blocks.
   */
  pollBatch(limit = Default.BATCH_LIMIT) {
    return new Batch(native.pollBatch(this[HANDLE], limit));
  }

  /** Sends what is written, and blocks this thread until there is something to poll for. */
  wait(timeoutMs) {
    return native.wait(this[HANDLE], timeoutMs) === 1;
  }

  /** Frees it and closes its sockets. Messages without an outcome may be stamped or not. */
  close() {
    native.close(this[HANDLE]);
  }
}

/** What a handle that publishes has; `Base` is the rest of it. */
const Publishing = (Base) => class extends Base {
  /** Opens a name and polls until it has its id. Open names first: events of these polls are lost. */
  open(name, timeoutMs = Default.TIMEOUT_MS) {
    return native.open(this[HANDLE], name, timeoutMs);
  }

  /** Copies a message (Buffer or Uint8Array). Its number as a BigInt, or null while the window is full: poll. */
  publish(id, payload, destination = EVERYBODY) {
    return native.publish(this[HANDLE], id, payload, destination);
  }

  /** Sends what is written; returns the number of datagrams. */
  flush() {
    return native.flush(this[HANDLE]);
  }

  /**
   * What became of the messages so far: numbers of them, of type BigInt, by name (committed, discarded, diverged, fenced,
   * closed, unknown, open).
   */
  outcomes() {
    return native.outcomes(this[HANDLE]);
  }

  /** Whether every published message has its outcome, whichever: outcomes() tells. */
  isDrained() {
    return native.isDrained(this[HANDLE]) === 1;
  }
};

/** What a handle that reads has; `Base` is the rest of it. */
const Reading = (Base) => class extends Base {
  /** Whether the subscription has ended: the event before gave the reason. */
  isEnded() {
    return native.isEnded(this[HANDLE]) === 1;
  }

  /** The position behind the last event as a text, or null before the subscription has begun. */
  cursor() {
    return native.cursor(this[HANDLE]);
  }
};

/** Publishes messages into the stream. Its events are outcomes. */
class Publisher extends Publishing(StreamHandle) {}

/** Delivers the stream. */
class Subscriber extends Reading(StreamHandle) {}

/** Publishes messages and reads the stream, over one device. Its events are those of a Publisher and of a Subscriber. */
class Participant extends Reading(Publishing(StreamHandle)) {
  /**
   * Publishes a request, blocks this thread until `answer(event, number)` returns something that is not undefined, at most
   * for the timeout, and returns that. `answer` receives every event of these polls, as every event is the program's and
   * none comes again, and the request's number (0n before it is published: what it returns then is not looked at); the
   * entries of the stream behind the answer are left for the next poll. It may close this handle; all else with it is
   * refused (IN_USE). What it throws ends the request, which may be published and answered then. The answering application
   * says in its message which request it answers. A leader's death is no end: the request is sent again by itself, and is
   * in the stream once.
   *
   * TIMED_OUT: no answer came in time, and one may come later, as an event of a later poll. BACKPRESSURE: the window was
   * full for the whole time, and the request was not published. At once: FENCED, CLOSED, NOT_ALLOWED, and UNANSWERED where
   * nobody knows an answer and none will be read.
   */
  request(id, payload, destination = EVERYBODY, timeoutMs = Default.TIMEOUT_MS, answer) {
    let found;
    if (typeof answer !== 'function') throw refused('the last argument of a request is the function that finds the answer');
    native.request(this[HANDLE], id, payload, destination, timeoutMs, (row, bytes, number) => {
      const returned = answer(new Batch([1, row, bytes]).event(0), number);
      if (number !== 0n && found === undefined) found = returned;
      return found !== undefined;
    });
    return found;
  }
}

/**
 * Delivers the streams of a set in their merged order, as committed: each entry has a number there, from 1 without holes,
 * which is the same for all readers. Each stream's own order is kept, and a stream that is idle or stalled holds up no other
 * one. A program that reads one stream uses a Subscriber.
 */
class MergedSubscriber {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /**
   * Reads the set of the file at `path` (null: the one that LOCKSTEP_CONFIG names, or /etc/lockstep/lockstep.toml), and opens
   * the streams that are merged at `start`: 'live', a moment ago, which is looked for at most for `timeoutMs`; 'beginning', at
   * the first entry of the home stream; or what cursor() of an earlier handle has returned.
   */
  static connect({ path = null, start = 'live', timeoutMs = Default.TIMEOUT_MS } = {}) {
    return new MergedSubscriber(native.connectMerged(path, start, timeoutMs));
  }

  /** One turn: receives from each stream, and returns at most `limit` messages and every other event. Never blocks. */
  pollBatch(limit = Default.BATCH_LIMIT) {
    return new MergedBatch(native.mergedPollBatch(this.#handle, limit));
  }

  /** Blocks this thread until there is something to poll for. */
  wait(timeoutMs) {
    return native.mergedWait(this.#handle, timeoutMs) === 1;
  }

  /** The place behind the last event as a text, for the start of a later handle. */
  cursor() {
    return native.mergedCursor(this.#handle);
  }

  /** The number that the next merged entry gets, a BigInt. */
  nextNumber() {
    return native.mergedNextNumber(this.#handle);
  }

  /** Whether the subscription of a stream has ended, and the merged order with it: the event before gave the reason. */
  isEnded() {
    return native.mergedIsEnded(this.#handle) === 1;
  }

  /** The name of the stream of a cluster in the set's file; empty if the set has none. */
  streamName(stream) {
    return native.mergedStreamName(this.#handle, stream);
  }

  /** Frees it and closes its sockets. */
  close() {
    native.close(this.#handle);
  }
}

/**
 * The file in which a program stores the cursor behind what it has processed, for its next start. Each save replaces it as
 * a whole, and one process has it at a time, by a lock on the file beside it whose name ends with `.lock`. What a program
 * had processed since the last save comes again after a crash.
 */
class CursorFile {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /**
   * Opens the file; one that is absent has no cursor, and is created by the first save. IN_USE: somebody else has it open.
   * ARGUMENT: it has anything but a whole cursor.
   */
  static open(path) {
    return new CursorFile(native.cursorFileOpen(path));
  }

  /** The cursor that was read or saved last as a text, or null if there is none so far. */
  cursor() {
    return native.cursorFileCursor(this.#handle);
  }

  /**
   * Where a subscription begins, for `subscriber`: at the cursor, or at `otherwise` ({ from: 1n }) if there is none. A
   * cursor of another history or log ends the subscription, and never begins anew.
   */
  startOr(otherwise) {
    const cursor = this.cursor();
    return cursor === null ? otherwise : { cursor };
  }

  /**
   * Replaces the stored cursor by this text. When it returns, the new one is on the disk: that takes up to some
   * milliseconds. To save the cursor that is stored already costs nothing.
   */
  save(cursor) {
    native.cursorFileSave(this.#handle, cursor);
  }

  /** Gives the file to others, and saves nothing. */
  close() {
    native.close(this.#handle);
  }
}

module.exports = {
  Batch,
  CursorFile,
  Delivery,
  EVERYBODY,
  Endpoint,
  Kind,
  MergedBatch,
  MergedSubscriber,
  Participant,
  Publisher,
  Status,
  Subscriber,
  version: native.version,
};
