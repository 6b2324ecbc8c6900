// lockstep's handles for C. Written by cbindgen from bindings/c/src: change that.
//
// A function that may fail returns a lockstep_status; lockstep_error() gives the text of the last failure of the
// calling thread. Functions that do work return how much of it, or a failure as a negative lockstep_status.
//
// Threads: a handle belongs to one thread at a time; two handles may be used by two threads at once. An endpoint may
// be used by any number of threads.
//
// Ownership: what *_connect and *_from_* store belongs to the caller, until *_close frees it and sets the variable to
// NULL. A NULL handle is refused with LOCKSTEP_STATUS_CLOSED_HANDLE. Bytes that a callback receives are valid until it
// returns; those of a batch until the next call with its handle.

#ifndef LOCKSTEP_H
#define LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Version of the binary interface. It rises when a program must be compiled anew.
#define LOCKSTEP_ABI_VERSION 2

// Messages for everybody: the usual destination.
#define LOCKSTEP_EVERYBODY 0

// Destinations from here on are channels, counted from 0.
#define LOCKSTEP_CHANNELS 2147483648

// Bytes of a cursor's text at most, the 0 at its end included.
#define LOCKSTEP_CURSOR_TEXT 64

// The result of a call.
enum lockstep_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It is done.
    LOCKSTEP_STATUS_OK = 0,
    // The window is full: poll, and publish again.
    LOCKSTEP_STATUS_BACKPRESSURE = 1,
    // The publisher is not open in this handle.
    LOCKSTEP_STATUS_NOT_OPEN = 2,
    // The message is longer than the stream, the channel or (for a claim) one datagram takes.
    LOCKSTEP_STATUS_TOO_LONG = 3,
    // Numbers before the given one are missing: neither handed in here nor read in the stream.
    LOCKSTEP_STATUS_AHEAD_OF_NUMBER = 4,
    // A newer process has opened the name.
    LOCKSTEP_STATUS_FENCED = 5,
    // The publisher is closed.
    LOCKSTEP_STATUS_CLOSED = 6,
    // The name is empty or too long, or the handle has too many.
    LOCKSTEP_STATUS_NAME = 16,
    // No leader answered in time.
    LOCKSTEP_STATUS_TIMED_OUT = 17,
    // The cluster's table of publishers is full.
    LOCKSTEP_STATUS_TABLE_FULL = 18,
    // The key of this process does not allow it.
    LOCKSTEP_STATUS_NOT_ALLOWED = 19,
    // A request has no answer, and none is awaited: its outcome is unknown, no reader delivers it, or the
    // subscription has ended.
    LOCKSTEP_STATUS_UNANSWERED = 20,
    // The operating system refused a call.
    LOCKSTEP_STATUS_IO = 32,
    // The configuration is wrong or cannot be read.
    LOCKSTEP_STATUS_CONFIG = 33,
    // An argument is NULL where it may not be, not UTF-8, or out of its range.
    LOCKSTEP_STATUS_ARGUMENT = 34,
    // The handle is NULL: it was closed, or never connected.
    LOCKSTEP_STATUS_CLOSED_HANDLE = 35,
    // A defect of lockstep: the handle refuses all further calls. Please report the text.
    LOCKSTEP_STATUS_PANIC = 36,
    // The handle was connected in another process, of which this one is a fork.
    LOCKSTEP_STATUS_OTHER_PROCESS = 37,
    // A call has the handle already: that of another thread, or the poll whose callback this is. Or somebody
    // else has the file open.
    LOCKSTEP_STATUS_IN_USE = 38,
    // A callback of a machine has failed: its replica, or its trial, has ended.
    LOCKSTEP_STATUS_MACHINE = 39,
    // A replica of a machine cannot go on: its stream, its state or its snapshots need an operator.
    LOCKSTEP_STATUS_REPLICA = 40,
    // A machine does not stand its trial: the text has the rule, what has broken it, and the story.
    LOCKSTEP_STATUS_TRIAL = 41,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_status lockstep_status;
#else
typedef int32_t lockstep_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an event reports. Numbers are stable: a new kind gets a new one, and a program ignores kinds that it
// does not know. Fields that a kind does not list are 0.
enum lockstep_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The next message: `seq`, `publisher`, `publisher_seq`, `destination`, `timestamp`; the payload.
    LOCKSTEP_EVENT_KIND_MESSAGE = 1,
    // Everything below `seq` is final (`stamped` subscriptions, once per poll).
    LOCKSTEP_EVENT_KIND_COMMITTED = 2,
    // What was reported from `seq` on did not survive a takeover (`stamped` subscriptions).
    LOCKSTEP_EVENT_KIND_RETRACT = 3,
    // A new leadership begins at `seq`; `value` is the epoch.
    LOCKSTEP_EVENT_KIND_EPOCH = 4,
    // The membership from `seq` on has `value` members.
    LOCKSTEP_EVENT_KIND_MEMBERSHIP = 5,
    // A name is opened: `seq`, `timestamp`, `publisher`; `publisher_seq` is the number of its last message,
    // `detail` its incarnation, `value` and `value2` its nonce; the payload is the name.
    LOCKSTEP_EVENT_KIND_OPENED = 6,
    // A publisher is closed: `seq`, `timestamp`, `publisher`; the payload is the reason that its owner gave.
    LOCKSTEP_EVENT_KIND_CLOSED = 7,
    // A gateway reports to other gateways that it runs: `seq`, `publisher`.
    LOCKSTEP_EVENT_KIND_GATEWAY_HEARTBEAT = 8,
    // The frame whose last entry was reported before; the payload is its bytes.
    LOCKSTEP_EVENT_KIND_FRAME = 9,
    // An entry without meaning for applications: `seq`; `detail` is the entry's kind.
    LOCKSTEP_EVENT_KIND_FILTERED = 10,
    // A trading day begins (`detail` 1) or ends (0): `seq`, `timestamp`; the payload is the day's name.
    LOCKSTEP_EVENT_KIND_DAY = 11,
    // The leader carries out an operator's order: `seq`, `timestamp`; `detail` is the order; the payload is
    // the name of the operator's key. Of an order of time (6), which sets the stream's time back to
    // `timestamp`, `value` is the time before.
    LOCKSTEP_EVENT_KIND_ORDERED = 12,
    // Messages from `seq` to below `value` are missing, and requested.
    LOCKSTEP_EVENT_KIND_GAP = 13,
    // The subscription has ended: nobody sends what is missing from `seq` on. `value` is the oldest seq that
    // can be had, `detail` the reason.
    LOCKSTEP_EVENT_KIND_ABANDONED = 14,
    // A message in parts that began at `seq` is discarded, and the subscription goes on: `publisher`;
    // `detail` is 1 for the bytes that are unfinished, 2 for its length, 3 for the entries behind its first
    // part, `value` the limit; or 4 if it began before the subscription did, then `seq` is where it ended.
    LOCKSTEP_EVENT_KIND_PARTS_DISCARDED = 15,
    // No multicast group brings the leader any more (`detail` 1), or they do again (0).
    LOCKSTEP_EVENT_KIND_MULTICAST = 16,
    // Everything below `seq` that was seen is delivered.
    LOCKSTEP_EVENT_KIND_CAUGHT_UP = 17,
    // Entries from `seq` on that nobody has in memory are read from a journal over TCP.
    LOCKSTEP_EVENT_KIND_REPLAYING = 18,
    // The subscription has ended: it cannot begin, or continue, at `seq`. `detail` is the reason, 0 if no
    // journal could be reached.
    LOCKSTEP_EVENT_KIND_REFUSED = 19,
    // From `seq` on the stream is of the history `value`, founded on the history `value2`.
    LOCKSTEP_EVENT_KIND_FOUNDED = 20,
    // The subscription has ended, or the publisher's outcomes are unknown: the history `value` was founded
    // at `seq`, below what was final here, `value2`.
    LOCKSTEP_EVENT_KIND_HISTORY_LOST = 21,
    // The subscription has ended: the leader's log ends at `value`, and `seq` would be next here; `value2`
    // is the epoch.
    LOCKSTEP_EVENT_KIND_AHEAD = 22,
    // Commit has lagged behind stamping by `value` entries for `value2` nanoseconds.
    LOCKSTEP_EVENT_KIND_LAG = 23,
    // The subscription has ended: log and cluster differ at `seq`.
    LOCKSTEP_EVENT_KIND_DIVERGED = 24,
    // A replica of a state machine reports to the others of that machine: `seq`, `publisher`.
    LOCKSTEP_EVENT_KIND_MACHINE_REPORT = 25,
    // A coordinator or an operator writes about the streams of a set: `seq`, `publisher`.
    LOCKSTEP_EVENT_KIND_SET_NOTE = 26,
    // A publisher's name is open: `publisher`; `publisher_seq` is the number of its next message, `value`
    // that of its last committed one, `detail` the ticket of the call that opened it.
    LOCKSTEP_EVENT_KIND_NAME_OPENED = 65,
    // The leader refuses a name: `detail` is its ticket; `value` is 1 if the table of publishers is full
    // (then `value2` is its size), 2 if the key of this process does not allow the name.
    LOCKSTEP_EVENT_KIND_NAME_REFUSED = 66,
    // The key of this process does not allow a message: `publisher`, `publisher_seq`. It is sent again until
    // the key's rights change.
    LOCKSTEP_EVENT_KIND_NOT_ALLOWED = 67,
    // A message has its place: `publisher`, `publisher_seq`, `seq`. A takeover may take it back.
    LOCKSTEP_EVENT_KIND_OUTCOME_STAMPED = 68,
    // The reported place of a message did not survive a takeover; it is sent again by itself: `publisher`,
    // `publisher_seq`.
    LOCKSTEP_EVENT_KIND_OUTCOME_UNSTAMPED = 69,
    // A message has its place for ever: `publisher`, `publisher_seq`, `seq`.
    LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED = 70,
    // The cluster's window is full: messages wait here.
    LOCKSTEP_EVENT_KIND_THROTTLED = 71,
    // The cluster takes messages again.
    LOCKSTEP_EVENT_KIND_UNTHROTTLED = 72,
    // Another message stands under a number that was published here: `publisher`, `publisher_seq`, `seq`.
    LOCKSTEP_EVENT_KIND_OUTCOME_DIVERGED = 73,
    // A newer process has opened the name: nothing from `publisher_seq` on is stamped: `publisher`.
    LOCKSTEP_EVENT_KIND_OUTCOME_FENCED = 74,
    // The publisher is closed: nothing from `publisher_seq` on is stamped: `publisher`.
    LOCKSTEP_EVENT_KIND_OUTCOME_CLOSED = 75,
    // Outcomes are unknown and the handle is of no more use: open the names in a new one.
    LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN = 76,
    // A message in parts has its place for ever, and no reader delivers it, as its publisher was held up
    // between its parts: `publisher`, `publisher_seq`, `seq`. Publish it again, if it still holds.
    LOCKSTEP_EVENT_KIND_OUTCOME_DISCARDED = 77,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_event_kind lockstep_event_kind;
#else
typedef uint32_t lockstep_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// When a message is delivered.
enum lockstep_delivery
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // When the leader's datagram arrives; a takeover may retract it.
    LOCKSTEP_DELIVERY_STAMPED = 0,
    // When a quorum holds it; final.
    LOCKSTEP_DELIVERY_COMMITTED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_delivery lockstep_delivery;
#else
typedef uint32_t lockstep_delivery;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where a subscription begins.
enum lockstep_start_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // At the end of the stream as it is at the first poll.
    LOCKSTEP_START_KIND_LIVE = 0,
    // At `seq`.
    LOCKSTEP_START_KIND_FROM = 1,
    // At the oldest entry that a journal has.
    LOCKSTEP_START_KIND_OLDEST = 2,
    // At `cursor`.
    LOCKSTEP_START_KIND_CURSOR = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_start_kind lockstep_start_kind;
#else
typedef uint32_t lockstep_start_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an input is. Numbers are stable: a new kind gets a new one, and a machine ignores kinds that it does
// not know. Fields that a kind does not list are 0 or NULL; each has `seq` and `time`.
enum lockstep_input_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A message of anybody but this machine: `publisher`, `publisher_seq`, `destination`, `user` where the
    // publisher is a client of a gateway; the payload.
    LOCKSTEP_INPUT_KIND_MESSAGE = 1,
    // A client has logged in at a gateway: `publisher`, `user`.
    LOCKSTEP_INPUT_KIND_CONNECTED = 2,
    // A client is gone: `publisher`, `user`; `detail` is the reason, `value` is 1 if its user wants its
    // orders to be cancelled then.
    LOCKSTEP_INPUT_KIND_DISCONNECTED = 3,
    // A name that is no gateway's client is opened: `publisher`; `detail` is how often it was opened; the
    // payload is the name.
    LOCKSTEP_INPUT_KIND_OPENED = 4,
    // A publisher that is no gateway's client is closed: `publisher`.
    LOCKSTEP_INPUT_KIND_CLOSED = 5,
    // A trading day begins; the payload is its name.
    LOCKSTEP_INPUT_KIND_DAY_START = 6,
    // The trading day ends.
    LOCKSTEP_INPUT_KIND_DAY_END = 7,
    // A timer of this machine is due: `key`, `due`; the payload is what it was set with.
    LOCKSTEP_INPUT_KIND_TIMER = 8,
    // The stream's time has moved, and nothing else.
    LOCKSTEP_INPUT_KIND_TIME = 9,
    // The stream's time is set back to `time`; `value` is the time before.
    LOCKSTEP_INPUT_KIND_TIME_SET_BACK = 10,
    // The cluster has `value` members from here on.
    LOCKSTEP_INPUT_KIND_MEMBERSHIP = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_input_kind lockstep_input_kind;
#else
typedef uint32_t lockstep_input_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How a snapshot is written while the machine runs.
enum lockstep_snapshot_mode
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // A child of this process writes it, from the memory as it was (`fork`): inputs wait for the page tables
    // to be copied, and no longer. `snapshot` runs in the child: it takes no lock that another thread of the
    // process may hold. One that fails there is reported in the log alone.
    LOCKSTEP_SNAPSHOT_MODE_FORK = 0,
    // This process writes it, and applies nothing meanwhile.
    LOCKSTEP_SNAPSHOT_MODE_PAUSE = 1,
    // It writes none.
    LOCKSTEP_SNAPSHOT_MODE_NEVER = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_snapshot_mode lockstep_snapshot_mode;
#else
typedef uint32_t lockstep_snapshot_mode;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a replica does whose state is not that of most.
enum lockstep_on_divergence
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // It ends.
    LOCKSTEP_ON_DIVERGENCE_STOP = 0,
    // It goes on, and says so.
    LOCKSTEP_ON_DIVERGENCE_REPORT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum lockstep_on_divergence lockstep_on_divergence;
#else
typedef uint32_t lockstep_on_divergence;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A replica of a machine on a cluster, without a loop: it works in `lockstep_app_turn`.
typedef struct lockstep_app lockstep_app;

// The file in which a program stores the cursor behind what it has processed, for its next start. Each save
// replaces it as a whole, and one process has it at a time, by a lock on the file beside it whose name ends
// with `.lock`. What a program had processed since the last save comes again after a crash.
typedef struct lockstep_cursor_file lockstep_cursor_file;

// Which cluster, and how it is reached: from the cluster's file. Handles are connected with it, and do not
// need it afterwards.
typedef struct lockstep_endpoint lockstep_endpoint;

// Delivers the streams of a set in their merged order, as committed: each entry has a number there, from 1
// without holes, which is the same for all readers. Each stream's own order is kept, and a stream that is
// idle or stalled holds up no other one. A program that reads one stream uses a `lockstep_subscriber`.
typedef struct lockstep_merged_subscriber lockstep_merged_subscriber;

// Collects the effects of an input while it is applied.
typedef struct lockstep_output lockstep_output;

// Publishes messages into the stream and delivers the stream, over one device: for a program that does both
// in one thread. Each datagram is received once.
//
// A `lockstep_publisher` is one that only publishes, and a `lockstep_subscriber` one that only reads. Every
// `lockstep_participant_…` takes them; a call of the half that the handle lacks is refused with
// `LOCKSTEP_STATUS_ARGUMENT`.
typedef struct lockstep_participant lockstep_participant;

// Takes the bytes that a callback gives: a snapshot, an answer, a text.
typedef struct lockstep_sink lockstep_sink;

// A position in a stream.
typedef struct {
    // The history.
    uint64_t history;
    // The next seq.
    uint64_t seq;
    // The chain over everything before it.
    uint64_t chain;
} lockstep_cursor;

// Where a subscription begins: a `lockstep_start_kind` and what that kind needs.
typedef struct {
    // A `lockstep_start_kind`.
    uint32_t kind;
    // 0.
    uint32_t reserved;
    // For `LOCKSTEP_START_KIND_FROM`.
    uint64_t seq;
    // For `LOCKSTEP_START_KIND_CURSOR`.
    lockstep_cursor cursor;
} lockstep_start;

// An event. Little-endian, without padding; `lockstep_event_kind` lists which fields each kind uses.
typedef struct {
    // The place in the stream, or a bound of it.
    uint64_t seq;
    // The publisher's number of the message.
    uint64_t publisher_seq;
    // When the entry was stamped: nanoseconds since the Unix epoch.
    uint64_t timestamp;
    // A number; see the kind.
    uint64_t value;
    // Another one; see the kind.
    uint64_t value2;
    // The publisher's id.
    uint32_t publisher;
    // The destination.
    uint32_t destination;
    // Offset of the payload in the batch's bytes; 0 in a callback.
    uint32_t payload_at;
    // Length of the payload in bytes.
    uint32_t payload_len;
    // A `lockstep_event_kind`.
    uint32_t kind;
    // A reason or a flag; see the kind.
    uint32_t detail;
} lockstep_event;

// Receives one event. `payload` has `event->payload_len` bytes and is valid until the call returns. Returns
// true to go on, false to leave what follows for the next poll. It may publish with the handle whose poll
// runs it (`…_publish`, `…_publish_at`, `…_claim`, `…_close_name`, `…_day`, `…_flush`, `…_is_drained`,
// `…_outcomes`, `…_message_len_max`, `…_claim_len_max`) and close it: then it is freed when the poll has
// ended. All else with that handle is refused with `LOCKSTEP_STATUS_IN_USE`, and so is publishing in the
// callback of `…_open` and `…_begin`. It does not leave by an exception or `longjmp`.
typedef bool (*lockstep_on_event)(void *context, const lockstep_event *event, const uint8_t *payload);

// What became of the messages of a handle so far, in numbers of messages.
typedef struct {
    // In the stream for ever.
    uint64_t committed;
    // In the stream, and delivered by no reader, as the process was held up between the parts of a message.
    uint64_t discarded;
    // Another message stands under the number.
    uint64_t diverged;
    // Never stamped, as a newer process has opened the name.
    uint64_t fenced;
    // Never stamped, as the publisher was closed before.
    uint64_t closed;
    // Nobody knows: `LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN` was reported.
    uint64_t unknown;
    // Without an outcome so far.
    uint64_t open;
} lockstep_outcomes;

// Events of one poll. All of it is valid until the next call with the handle.
typedef struct {
    // The events, in the order of the stream; NULL without one.
    const lockstep_event *events;
    // How many.
    size_t len;
    // The payloads: that of an event begins at `bytes + event->payload_at`; NULL if no event has any.
    const uint8_t *bytes;
    // Bytes of all payloads.
    size_t bytes_len;
} lockstep_batch;

// Receives one event while a request awaits its answer, and the request's number, which is 0 before the
// request is published. `payload` has `event->payload_len` bytes and is valid until the call returns.
// Returns true if the event is the answer; what it returns before the request is published is not looked at.
// All calls with the handle are refused with `LOCKSTEP_STATUS_IN_USE`, but for closing: then the handle is
// freed when the request has ended. It does not leave by an exception or `longjmp`.
typedef bool (*lockstep_is_answer)(void *context,
                                   const lockstep_event *event,
                                   const uint8_t *payload,
                                   uint64_t number);

// Publishes messages into the stream: a `lockstep_participant` that only publishes.
typedef lockstep_participant lockstep_publisher;

// Delivers the stream: a `lockstep_participant` that only reads.
typedef lockstep_participant lockstep_subscriber;

// The place of an event in the merged order of a set. Little-endian, without padding.
typedef struct {
    // The merged number of the entry, from 1 without holes; 0 of an event that stands for no entry. What one
    // entry says in several events has one number.
    uint64_t number;
    // The merged time: the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls.
    uint64_t time;
    // The number of the stream's cluster.
    uint64_t stream;
} lockstep_place;

// Receives one event of the merged order with its place there. `payload` has `event->payload_len` bytes; all
// of it is valid until the call returns. Returns true to go on, false to leave what follows for the next
// poll. It may close the handle whose poll runs it: then it is freed when the poll has ended. All else with
// that handle is refused with `LOCKSTEP_STATUS_IN_USE`, but `…_stream_name`. It does not leave by an
// exception or `longjmp`.
typedef bool (*lockstep_on_merged)(void *context,
                                   const lockstep_place *place,
                                   const lockstep_event *event,
                                   const uint8_t *payload);

// Events of one poll in the merged order. All of it is valid until the next call with the handle.
typedef struct {
    // The events.
    lockstep_batch batch;
    // The place of each; NULL without one.
    const lockstep_place *places;
} lockstep_merged_batch;

// The settings of a replica. `lockstep_app_settings_init` fills them with the defaults; what differs is
// changed behind it. Texts belong to the caller, until the call that is given the settings returns.
typedef struct {
    // The name under which all replicas publish.
    const char *name;
    // The folder of its snapshots, for this replica alone.
    const char *folder;
    // Where metrics, snapshots and queries are served over HTTP, like `127.0.0.1:9701`. NULL: nowhere.
    const char *serve;
    // Names by which that page may be asked for, separated by commas. NULL: none.
    const char *hosts;
    // Where other replicas serve theirs, separated by commas. NULL: nowhere.
    const char *peers;
    // Entries from one digest of the state to the next; all replicas have the same.
    uint64_t digest_every;
    // What all replicas open the name with.
    uint64_t nonce[2];
    // Entries from one snapshot to the next.
    uint64_t snapshot_every;
    // Snapshots that stay.
    uint64_t snapshots;
    // Snapshots that are younger stay as well.
    uint64_t snapshot_age_ns;
    // How long the stream's announcement of a peer's snapshot may be missing.
    uint64_t proof_wait_ns;
    // The number of this replica, from 1 to 255: each has one of its own.
    uint32_t number;
    // A `lockstep_delivery`: when an entry is applied.
    uint32_t delivery;
    // A `lockstep_snapshot_mode`.
    uint32_t snapshot_mode;
    // A `lockstep_on_divergence`.
    uint32_t on_divergence;
    // It applies and compares, and publishes nothing, until it takes over.
    bool is_shadow;
} lockstep_app_settings;

// An input of a machine, at its place in the stream. `lockstep_input_kind` lists the fields of each kind.
// Its pointers are valid until the callback returns; its texts do not end with 0.
typedef struct {
    // The seq of its entry; of a timer, that of the entry at or behind the time when it is due.
    uint64_t seq;
    // The stream's time: when the leader stamped that entry, nanoseconds since the Unix epoch.
    uint64_t time;
    // The publisher's number of the message.
    uint64_t publisher_seq;
    // The key of the timer.
    uint64_t key;
    // When the timer was due, by the stream's time.
    uint64_t due;
    // By the kind.
    uint64_t value;
    // The content of the message, the bytes that the timer was set with, or a name.
    const uint8_t *payload;
    // Its bytes.
    size_t payload_len;
    // The user; NULL without one.
    const uint8_t *user;
    // Its bytes.
    size_t user_len;
    // A `lockstep_input_kind`.
    uint32_t kind;
    // The publisher's id: the destination of an answer.
    uint32_t publisher;
    // The destination.
    uint32_t destination;
    // By the kind.
    uint32_t detail;
} lockstep_input;

// A deterministic program over the stream: its state is a function of the inputs in their order. Copies of
// it that run anywhere apply the same inputs, and each of its outputs is in the stream once.
//
// A callback returns `LOCKSTEP_STATUS_OK`, or what `lockstep_fail` returns: then nothing is published of
// that input, the machine gets no input more, and its replica ends with the text. It does not leave by an
// exception or `longjmp`. Callbacks run in the calls of the handle that the machine was given to, one at a
// time. Those that are NULL in the table are refused, but for the last four.
typedef struct {
    // The version of its rules and of its snapshots: raise it with each change of `apply`.
    uint32_t version;
    // 0.
    uint32_t reserved;
    // What `create` and `restore` are given; it is the caller's, and outlives the handle.
    void *context;
    // Stores a machine at the beginning of the stream at `self`.
    int32_t (*create)(void *context, void **machine);
    // Stores a machine with the state that a snapshot of this version has.
    int32_t (*restore)(void *context, const uint8_t *state, size_t len, void **machine);
    // Applies the next input: what follows from it goes to `output`.
    int32_t (*apply)(void *machine, const lockstep_input *input, lockstep_output *output);
    // Writes the whole state to `out`. Equal states write equal bytes.
    int32_t (*snapshot)(const void *machine, lockstep_sink *out);
    // Frees the machine.
    void (*destroy)(void *machine);
    // Answers a question about the state, which it does not change. NULL: nothing is answered. One that
    // fails ends nothing: the answer is empty, and the log has the text.
    int32_t (*query)(const void *machine, const uint8_t *request, size_t len, lockstep_sink *out);
    // Writes what all copies have alike beside their rules, as a text for people. NULL: nothing is compared.
    int32_t (*settings)(const void *machine, lockstep_sink *out);
    // A digest of the whole state, which a large machine maintains. NULL: that of the snapshot.
    uint64_t (*digest)(const void *machine);
    // Writes the state as a text for people, which a debugger prints. NULL, or an empty text: it prints the
    // snapshot. One that fails ends nothing: the text says so.
    int32_t (*state_text)(const void *machine, lockstep_sink *out);
} lockstep_machine;

// Where a replica is.
typedef struct {
    // Every entry below is applied.
    uint64_t next;
    // The stream's time.
    uint64_t time;
    // Every entry below is in the newest snapshot of this replica.
    uint64_t saved_next;
    // How often another replica had another state.
    uint64_t partings;
    // Whether the stream was read up to its end once.
    bool is_caught_up;
    // Whether another version is in force, so that this replica publishes nothing.
    bool is_shadow;
    // Whether every output and every report is committed.
    bool is_drained;
} lockstep_app_state;

// Asked between two turns of `lockstep_app_run`: whether it goes on.
typedef bool (*lockstep_goes_on)(void *context);

// What a trial asks the program for.
typedef struct {
    // Seeds that are run; 0: 100.
    uint64_t seeds;
    // The first seed; 0: 1.
    uint64_t first;
    // One seed in so many is run twice, to see that the same inputs give the same states; 0: each.
    uint64_t repeated;
    // What both functions are given.
    void *context;
    // Writes what the client `user` (from 0) sends as its message `number` (from 1). NULL: the number, as 8
    // bytes.
    int32_t (*message)(void *context, uint64_t user, uint64_t number, lockstep_sink *out);
    // What holds after each input: fails where it does not. NULL: nothing.
    int32_t (*invariant)(void *context, const void *machine);
} lockstep_trial_plan;

// What was judged, without a failure, and how much of the machine was run: inputs and effects of all copies.
typedef struct {
    // Seeds that were run.
    uint64_t seeds;
    // States that were judged.
    uint64_t inputs_judged;
    // The last seed that was run: the next trial may begin behind it.
    uint64_t last_seed;
    // Messages.
    uint64_t messages;
    // Clients that logged in, and that went.
    uint64_t sessions;
    // Names that were opened or closed.
    uint64_t names;
    // Trading days that began or ended.
    uint64_t days;
    // Messages that were published.
    uint64_t outputs;
    // Timers that were set, and those among them that took the place of a pending one.
    uint64_t timers_set;
    // Timers that were cancelled while they were pending.
    uint64_t timers_cancelled;
    // Timers that fired, those included to which time leapt.
    uint64_t timers_fired;
    // Snapshots that copies wrote to their disks.
    uint64_t snapshots;
    // States that were restored from a snapshot, by copies that came back and by twins.
    uint64_t restored;
    // Leaders that were replaced meanwhile.
    uint64_t takeovers;
} lockstep_trial_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The name of a status: `IN_USE` of `LOCKSTEP_STATUS_IN_USE`. It is the same in every language. `UNKNOWN` of
// a number that is none.
const char *lockstep_status_name(int32_t status);

// The version of the binary interface of this library: a program that was compiled with another
// `LOCKSTEP_ABI_VERSION` must not go on.
uint32_t lockstep_abi_version(void);

// The library's version as a text, like `0.1.0`.
const char *lockstep_version(void);

// The text of the last failure of this thread: what failed, where, and what to do. Valid until the next call
// of this function by this thread; empty before the first failure.
const char *lockstep_error(void);

// Writes a cursor as a text of at most `LOCKSTEP_CURSOR_TEXT` bytes, as `lockstep subscribe` prints it.
//
// # Safety
// `cursor` points to a cursor, and `text` to `LOCKSTEP_CURSOR_TEXT` bytes that may be written to.
lockstep_status lockstep_cursor_print(const lockstep_cursor *cursor, char *text);

// Reads a cursor from the text that `lockstep_cursor_print` writes.
//
// # Safety
// `text` ends with 0, and `out` may be written to.
lockstep_status lockstep_cursor_parse(const char *text, lockstep_cursor *out);

// The endpoint of the file that `LOCKSTEP_CONFIG` names, or of `/etc/lockstep/lockstep.toml`. Variables
// `LOCKSTEP_…` replace single keys, as for every command of lockstep.
//
// # Safety
// `out` may be written to.
lockstep_status lockstep_endpoint_from_env(lockstep_endpoint **out);

// The endpoint of the cluster's file at `path`.
//
// # Safety
// `path` ends with 0, and `out` may be written to.
lockstep_status lockstep_endpoint_from_file(const char *path, lockstep_endpoint **out);

// The cluster's number; 0 for NULL.
//
// # Safety
// `endpoint` is NULL or an endpoint that is not closed.
uint64_t lockstep_endpoint_cluster(const lockstep_endpoint *endpoint);

// Frees an endpoint and sets `*endpoint` to NULL. Handles that were connected with it go on.
//
// # Safety
// `*endpoint` is NULL or an endpoint that is not closed, and no other thread uses it.
void lockstep_endpoint_close(lockstep_endpoint **endpoint);

// Opens the sockets and joins the groups of the cluster of `endpoint`. The stream begins at `start` with the
// first poll. `delivery` is a `lockstep_delivery`.
//
// # Safety
// `endpoint` is NULL or an endpoint that is not closed; `start` is NULL (live) or points to a start; `out`
// may be written to.
lockstep_status lockstep_participant_connect(const lockstep_endpoint *endpoint,
                                             const lockstep_start *start,
                                             uint32_t delivery,
                                             lockstep_participant **out);

// Frees the handle, closes its sockets, and sets `*participant` to NULL. Messages without an outcome may be
// stamped or not.
//
// # Safety
// `*participant` is NULL or a handle that is not closed.
void lockstep_participant_close(lockstep_participant **participant);

// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Sends what is written
// first. Returns 1 if a datagram has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll
// in either case.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_wait(lockstep_participant *participant, uint64_t timeout_ns);

// One descriptor that is readable while the handle has datagrams to read: for poll, epoll, an event loop.
// Poll the handle when it is readable until a poll returns 0, and after `lockstep_participant_due` at the
// latest. A failure is a negative `lockstep_status`. The handle owns the descriptor.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_fd(lockstep_participant *participant);

// Nanoseconds until the handle must be polled again, although nothing arrives; a failure is a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_due(lockstep_participant *participant);

// Opens `name` and polls until it has its id, at most for `timeout_ns`. `on_event` (NULL: nobody) receives
// all events of these polls.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `name` ends with 0; `out`
// may be written to.
lockstep_status lockstep_participant_open(lockstep_participant *participant,
                                          const char *name,
                                          uint64_t timeout_ns,
                                          lockstep_on_event on_event,
                                          void *context,
                                          uint32_t *out);

// Copies a message of `len` bytes for `destination` into the open datagram and stores its number at `out`.
// The next flush, poll or wait sends it. `LOCKSTEP_STATUS_BACKPRESSURE`: poll, and try again.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `payload` has `len` bytes;
// `out` is NULL or may be written to.
lockstep_status lockstep_participant_publish(lockstep_participant *participant,
                                             uint32_t id,
                                             const uint8_t *payload,
                                             size_t len,
                                             uint32_t destination,
                                             uint64_t *out);

// Publishes a message under a number that the caller derives from its own state: a copy of the publisher may
// have published it already. `LOCKSTEP_STATUS_AHEAD_OF_NUMBER` if what lies before it was neither handed in
// here nor read in the stream: hand that in first, or, where a copy publishes it, poll and try again.
//
// # Safety
// As for `lockstep_participant_publish`.
lockstep_status lockstep_participant_publish_at(lockstep_participant *participant,
                                                uint32_t id,
                                                uint64_t number,
                                                const uint8_t *payload,
                                                size_t len,
                                                uint32_t destination);

// As `lockstep_participant_publish`, without a copy: stores at `payload` where the caller writes `len`
// bytes before its next call with this handle. At most `lockstep_participant_claim_len_max` bytes.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `payload` may be written
// to; `out` is NULL or may be written to.
lockstep_status lockstep_participant_claim(lockstep_participant *participant,
                                           uint32_t id,
                                           uint8_t **payload,
                                           size_t len,
                                           uint32_t destination,
                                           uint64_t *out);

// Closes the publisher `id` behind all of its messages; the stream keeps `reason`. Its outcome is an event.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `reason` has `len` bytes.
lockstep_status lockstep_participant_close_name(lockstep_participant *participant,
                                                uint32_t id,
                                                const uint8_t *reason,
                                                size_t len);

// Marks the start of the trading day `day`, a name of 1 to 16 ASCII letters and digits. The mark has a
// number and an outcome like a message.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `day` ends with 0; `out` is NULL or may be
// written to.
lockstep_status lockstep_participant_start_day(lockstep_participant *participant,
                                               uint32_t id,
                                               const char *day,
                                               uint64_t *out);

// Marks the end of the trading day. The mark has a number and an outcome like a message.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `out` is NULL or may be written to.
lockstep_status lockstep_participant_end_day(lockstep_participant *participant, uint32_t id, uint64_t *out);

// Sends what is written. Returns the number of datagrams sent, or a failure as a negative `lockstep_status`.
// In a callback it does nothing: what that publishes leaves when the poll ends.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_flush(lockstep_participant *participant);

// Stores at `out` what became of the messages so far. "Drained" says that each has an outcome, and not
// which.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `out` may be written to.
lockstep_status lockstep_participant_outcomes(lockstep_participant *participant, lockstep_outcomes *out);

// 1 if every published message has its outcome, whichever (`lockstep_participant_outcomes`), 0 if not, or a
// failure as a negative `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_is_drained(lockstep_participant *participant);

// 1 if the handle follows a leader's stream, 0 if not, or a failure as a negative `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_is_connected(lockstep_participant *participant);

// Bytes of the longest message for `destination`, or a failure as a negative `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_message_len_max(lockstep_participant *participant, uint32_t destination);

// Bytes of the longest message that can be claimed, or a failure as a negative `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_claim_len_max(lockstep_participant *participant);

// Polls until the subscription has its position, at most for `timeout_ns`; `on_event` (NULL: nobody)
// receives the events of these polls. A live subscription delivers what is published after it.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
lockstep_status lockstep_participant_begin(lockstep_participant *participant,
                                           uint64_t timeout_ns,
                                           lockstep_on_event on_event,
                                           void *context);

// The next seq to be delivered; 0 before a live subscription has begun; a failure is a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_deliver_next(lockstep_participant *participant);

// The exclusive bound of what is final, as far as it was received here; a failure is a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_commit_next(lockstep_participant *participant);

// 1 if the subscription has ended (the event before gave the reason), 0 if not, or a failure as a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_is_ended(lockstep_participant *participant);

// Stores the position behind the last delivered event at `out`, for `LOCKSTEP_START_KIND_CURSOR`. Returns 1,
// or 0 before the subscription has begun (then nothing is stored), or a failure as a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `out` may be written to.
int64_t lockstep_participant_cursor(lockstep_participant *participant, lockstep_cursor *out);

// One turn: receives, sends, and calls `on_event` for at most `limit` messages and for every other event, in
// the order of the stream. Never blocks. Returns the work done (0: an idle turn), or a failure as a negative
// `lockstep_status`.
//
// # Safety
// `participant` is NULL or a handle that is not closed.
int64_t lockstep_participant_poll(lockstep_participant *participant,
                                  size_t limit,
                                  lockstep_on_event on_event,
                                  void *context);

// One turn as `lockstep_participant_poll`, whose events are stored in memory of the handle: `*out`
// describes it, until the next call with this handle. A batch has at most `limit` messages, and is full with
// 256 KiB of payloads.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `out` may be written to.
int64_t lockstep_participant_poll_batch(lockstep_participant *participant, size_t limit, lockstep_batch *out);

// Publishes a request of `len` bytes for `destination` and polls until `is_answer` returns true, at most for
// `timeout_ns`. Its number is stored at `out`; 0 where it was not published.
//
// `is_answer` receives every event of these polls, as every event is the program's and none comes again. The
// entries of the stream behind the answer are left for the next poll. The answering application says in its
// message which request it answers. A leader's death is no end: the request is sent again by itself, and
// stamped once.
//
// `LOCKSTEP_STATUS_TIMED_OUT`: no answer came in time, and one may come later, as an event of a later poll.
// `LOCKSTEP_STATUS_BACKPRESSURE`: the window was full for the whole time, and the request was not published.
// At once: `LOCKSTEP_STATUS_FENCED`, `LOCKSTEP_STATUS_CLOSED`, `LOCKSTEP_STATUS_NOT_ALLOWED`, and
// `LOCKSTEP_STATUS_UNANSWERED`, where nobody knows an answer and none will be read.
//
// # Safety
// `participant` is NULL or a handle that is not closed; `payload` has `len` bytes;
// `out` is NULL or may be written to.
lockstep_status lockstep_participant_request(lockstep_participant *participant,
                                             uint32_t id,
                                             const uint8_t *payload,
                                             size_t len,
                                             uint32_t destination,
                                             uint64_t timeout_ns,
                                             lockstep_is_answer is_answer,
                                             void *context,
                                             uint64_t *out);

// Opens the sockets and joins the groups of the cluster of `endpoint`.
//
// # Safety
// `endpoint` is NULL or an endpoint that is not closed; `out` may be written to.
lockstep_status lockstep_publisher_connect(const lockstep_endpoint *endpoint, lockstep_publisher **out);

// `lockstep_participant_close` of a publisher.
//
// # Safety
// As there.
void lockstep_publisher_close(lockstep_publisher **publisher);

// `lockstep_participant_wait` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_wait(lockstep_publisher *publisher, uint64_t timeout_ns);

// `lockstep_participant_fd` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_fd(lockstep_publisher *publisher);

// `lockstep_participant_due` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_due(lockstep_publisher *publisher);

// `lockstep_participant_open` of a publisher. Its events of these polls that concern other names are
// lost; open names first.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_open(lockstep_publisher *publisher,
                                        const char *name,
                                        uint64_t timeout_ns,
                                        uint32_t *out);

// `lockstep_participant_publish` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_publish(lockstep_publisher *publisher,
                                           uint32_t id,
                                           const uint8_t *payload,
                                           size_t len,
                                           uint32_t destination,
                                           uint64_t *out);

// `lockstep_participant_publish_at` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_publish_at(lockstep_publisher *publisher,
                                              uint32_t id,
                                              uint64_t number,
                                              const uint8_t *payload,
                                              size_t len,
                                              uint32_t destination);

// `lockstep_participant_claim` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_claim(lockstep_publisher *publisher,
                                         uint32_t id,
                                         uint8_t **payload,
                                         size_t len,
                                         uint32_t destination,
                                         uint64_t *out);

// `lockstep_participant_close_name` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_close_name(lockstep_publisher *publisher,
                                              uint32_t id,
                                              const uint8_t *reason,
                                              size_t len);

// `lockstep_participant_start_day` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_start_day(lockstep_publisher *publisher,
                                             uint32_t id,
                                             const char *day,
                                             uint64_t *out);

// `lockstep_participant_end_day` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_end_day(lockstep_publisher *publisher, uint32_t id, uint64_t *out);

// `lockstep_participant_flush` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_flush(lockstep_publisher *publisher);

// `lockstep_participant_outcomes` of a publisher.
//
// # Safety
// As there.
lockstep_status lockstep_publisher_outcomes(lockstep_publisher *publisher, lockstep_outcomes *out);

// `lockstep_participant_is_drained` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_is_drained(lockstep_publisher *publisher);

// `lockstep_participant_is_connected` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_is_connected(lockstep_publisher *publisher);

// `lockstep_participant_message_len_max` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_message_len_max(lockstep_publisher *publisher, uint32_t destination);

// `lockstep_participant_claim_len_max` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_claim_len_max(lockstep_publisher *publisher);

// `lockstep_participant_poll` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_poll(lockstep_publisher *publisher,
                                size_t limit,
                                lockstep_on_event on_event,
                                void *context);

// `lockstep_participant_poll_batch` of a publisher.
//
// # Safety
// As there.
int64_t lockstep_publisher_poll_batch(lockstep_publisher *publisher, size_t limit, lockstep_batch *out);

// Opens the sockets and joins the groups of the cluster of `endpoint`. The stream begins at `start` with the
// first poll. `delivery` is a `lockstep_delivery`.
//
// # Safety
// `endpoint` is NULL or an endpoint that is not closed; `start` is NULL (live) or points to a start; `out`
// may be written to.
lockstep_status lockstep_subscriber_connect(const lockstep_endpoint *endpoint,
                                            const lockstep_start *start,
                                            uint32_t delivery,
                                            lockstep_subscriber **out);

// `lockstep_participant_close` of a subscriber.
//
// # Safety
// As there.
void lockstep_subscriber_close(lockstep_subscriber **subscriber);

// `lockstep_participant_wait` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_wait(lockstep_subscriber *subscriber, uint64_t timeout_ns);

// `lockstep_participant_fd` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_fd(lockstep_subscriber *subscriber);

// `lockstep_participant_due` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_due(lockstep_subscriber *subscriber);

// `lockstep_participant_begin` of a subscriber.
//
// # Safety
// As there.
lockstep_status lockstep_subscriber_begin(lockstep_subscriber *subscriber,
                                          uint64_t timeout_ns,
                                          lockstep_on_event on_event,
                                          void *context);

// `lockstep_participant_deliver_next` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_deliver_next(lockstep_subscriber *subscriber);

// `lockstep_participant_commit_next` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_commit_next(lockstep_subscriber *subscriber);

// `lockstep_participant_is_ended` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_is_ended(lockstep_subscriber *subscriber);

// `lockstep_participant_cursor` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_cursor(lockstep_subscriber *subscriber, lockstep_cursor *out);

// `lockstep_participant_poll` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_poll(lockstep_subscriber *subscriber,
                                 size_t limit,
                                 lockstep_on_event on_event,
                                 void *context);

// `lockstep_participant_poll_batch` of a subscriber.
//
// # Safety
// As there.
int64_t lockstep_subscriber_poll_batch(lockstep_subscriber *subscriber, size_t limit, lockstep_batch *out);

// Opens the file at `path` and reads its cursor; a file that is absent has none, and is created by the first
// save. `LOCKSTEP_STATUS_IN_USE`: somebody else has it open. `LOCKSTEP_STATUS_ARGUMENT`: it has anything but
// a whole cursor.
//
// # Safety
// `path` ends with 0, and `out` may be written to.
lockstep_status lockstep_cursor_file_open(const char *path, lockstep_cursor_file **out);

// Stores the cursor that was read or saved last at `out`. Returns 1, or 0 if there is none so far (then
// nothing is stored), or a failure as a negative `lockstep_status`.
//
// # Safety
// `file` is NULL or a handle that is not closed; `out` may be written to.
int64_t lockstep_cursor_file_cursor(lockstep_cursor_file *file, lockstep_cursor *out);

// Stores at `out` where a subscription begins: at the cursor, or at `otherwise` (NULL: live) if there is
// none. A cursor of another history or log ends the subscription, and never begins anew.
//
// # Safety
// `file` is NULL or a handle that is not closed; `otherwise` is NULL or points to a start; `out` may be
// written to.
lockstep_status lockstep_cursor_file_start_or(lockstep_cursor_file *file,
                                              const lockstep_start *otherwise,
                                              lockstep_start *out);

// Replaces the stored cursor. When it returns `LOCKSTEP_STATUS_OK`, the new one is on the disk: that takes
// up to some milliseconds. To save the cursor that is stored already costs nothing. After a failure the file
// has the previous cursor or this one.
//
// # Safety
// `file` is NULL or a handle that is not closed; `cursor` points to a cursor.
lockstep_status lockstep_cursor_file_save(lockstep_cursor_file *file, const lockstep_cursor *cursor);

// Frees the handle, gives the file to others, and sets `*file` to NULL. It saves nothing.
//
// # Safety
// `*file` is NULL or a handle that is not closed.
void lockstep_cursor_file_close(lockstep_cursor_file **file);

// Reads the set of the file at `path` (NULL: the one that `LOCKSTEP_CONFIG` names, or
// `/etc/lockstep/lockstep.toml`), and opens the streams that are merged at `start`. A file without
// `[[streams]]` is a set of one stream. Variables `LOCKSTEP_…` replace single keys, except
// `LOCKSTEP_STREAM`.
//
// `start` is `live` (NULL: that), behind the newest cut of which it is certain that it counts, which is
// looked for at most for `timeout_ns`; `beginning`, at the first entry of the home stream; or the text of a
// `lockstep_merged_subscriber_cursor`.
//
// # Safety
// `path` and `start` are NULL, or end with 0; `out` may be written to.
lockstep_status lockstep_merged_subscriber_connect(const char *path,
                                                   const char *start,
                                                   uint64_t timeout_ns,
                                                   lockstep_merged_subscriber **out);

// Frees the handle, closes its sockets, and sets `*merged_subscriber` to NULL.
//
// # Safety
// `*merged_subscriber` is NULL or a handle that is not closed.
void lockstep_merged_subscriber_close(lockstep_merged_subscriber **merged_subscriber);

// Sleeps until there is something to poll for, or until `timeout_ns` have elapsed. Returns 1 if a datagram
// of one of the streams has arrived, 0 if not, or a failure as a negative `lockstep_status`. Poll in either
// case.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed.
int64_t lockstep_merged_subscriber_wait(lockstep_merged_subscriber *merged_subscriber, uint64_t timeout_ns);

// One turn: receives from each stream, and calls `on_event` for at most `limit` messages and for every other
// event, in the merged order. Never blocks. Returns the work done (0: an idle turn), or a failure as a
// negative `lockstep_status`: a list names a stream that this program's file does not have, or its device
// cannot be opened.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed.
int64_t lockstep_merged_subscriber_poll(lockstep_merged_subscriber *merged_subscriber,
                                        size_t limit,
                                        lockstep_on_merged on_event,
                                        void *context);

// One turn as `lockstep_merged_subscriber_poll`, whose events are stored in memory of the handle: `*out`
// describes it, until the next call with this handle. A batch has at most `limit` messages, and is full with
// 256 KiB of payloads. Where a turn has brought events before it failed, they are stored, and the next turn
// fails.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed; `out` may be written to.
int64_t lockstep_merged_subscriber_poll_batch(lockstep_merged_subscriber *merged_subscriber,
                                              size_t limit,
                                              lockstep_merged_batch *out);

// Stores at `out` the place behind the last delivered event as a text of a few hundred characters, in memory
// of the handle, until the next call with it. A later handle that begins there delivers what this one has
// not.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed; `out` may be written to.
lockstep_status lockstep_merged_subscriber_cursor(lockstep_merged_subscriber *merged_subscriber,
                                                  const char **out);

// The number that the next merged entry gets; a failure is a negative `lockstep_status`.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed.
int64_t lockstep_merged_subscriber_next_number(lockstep_merged_subscriber *merged_subscriber);

// 1 if the subscription of a stream has ended (the event before gave the reason), and the merged order with
// it, 0 if not, or a failure as a negative `lockstep_status`.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed.
int64_t lockstep_merged_subscriber_is_ended(lockstep_merged_subscriber *merged_subscriber);

// The name of the stream of a cluster in the set's file, valid until the handle is freed; empty if the set
// has none, or for NULL. A callback of this handle may call it.
//
// # Safety
// `merged_subscriber` is NULL or a handle that is not closed.
const char *lockstep_merged_subscriber_stream_name(const lockstep_merged_subscriber *merged_subscriber,
                                                   uint64_t stream);

// Publishes a message to a destination: `LOCKSTEP_EVERYBODY`, a publisher, or a channel. It is in the stream
// once, whichever copies of the machine run.
//
// # Safety
// `output` is that of the callback that runs; `payload` has `len` bytes.
lockstep_status lockstep_output_publish(lockstep_output *output,
                                        const uint8_t *payload,
                                        size_t len,
                                        uint32_t destination);

// The timer `key` is due at `at`, nanoseconds since the Unix epoch by the stream's time, and at once if that
// has passed. It comes back as an input, once, and never earlier. One with this key that is pending is
// replaced.
//
// # Safety
// `output` is that of the callback that runs; `payload` has `len` bytes.
lockstep_status lockstep_output_timer_at(lockstep_output *output,
                                         uint64_t key,
                                         uint64_t at,
                                         const uint8_t *payload,
                                         size_t len);

// As `lockstep_output_timer_at`, so many nanoseconds behind the input's time. Where the stream's time is
// set back, what is left of them stays.
//
// # Safety
// As for `lockstep_output_timer_at`.
lockstep_status lockstep_output_timer_after(lockstep_output *output,
                                            uint64_t key,
                                            uint64_t after,
                                            const uint8_t *payload,
                                            size_t len);

// The timer `key` is cancelled, if it is pending.
//
// # Safety
// `output` is that of the callback that runs.
lockstep_status lockstep_output_cancel(lockstep_output *output, uint64_t key);

// Gives bytes: as often as a callback likes, one piece behind the other.
//
// # Safety
// `sink` is that of the callback that runs; `bytes` has `len` bytes.
lockstep_status lockstep_sink_write(lockstep_sink *sink, const uint8_t *bytes, size_t len);

// Within a callback of a machine: says why it fails. Returns `LOCKSTEP_STATUS_MACHINE`, for the callback to
// return.
//
// # Safety
// `why` is NULL, or ends with 0.
int32_t lockstep_fail(const char *why);

// Stores the defaults of the replica `number` of the machine `name`, with its snapshots in `folder`, at
// `out`, which has the pointers to both texts.
//
// # Safety
// `name` and `folder` end with 0; `out` may be written to.
lockstep_status lockstep_app_settings_init(const char *name,
                                           uint32_t number,
                                           const char *folder,
                                           lockstep_app_settings *out);

// Restores the newest snapshot of the replica's folder, or of a peer, or begins with the machine of `create`
// at the beginning of the stream, and opens its names. The table is copied; its functions and its context
// outlive the handle. `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
//
// # Safety
// `endpoint` is NULL or an endpoint that is not closed; `settings` points to settings, `machine` to a table
// whose functions keep what it promises; `out` may be written to.
lockstep_status lockstep_app_open(const lockstep_endpoint *endpoint,
                                  const lockstep_app_settings *settings,
                                  const lockstep_machine *machine,
                                  lockstep_app **out);

// Frees the handle and its machine, closes its sockets, and sets `*app` to NULL.
//
// # Safety
// `*app` is NULL or a handle that is not closed.
void lockstep_app_close(lockstep_app **app);

// One turn: reads on, applies, publishes, and sees to snapshots and queries. Never waits. Returns the work
// done (0: there was none), or a failure as a negative `lockstep_status`. A failure ends the replica: each
// call behind it returns the same. `LOCKSTEP_STATUS_MACHINE`: a callback has failed, and nothing of that
// input is published. `LOCKSTEP_STATUS_REPLICA`: stream, state or snapshots need an operator.
//
// # Safety
// `app` is NULL or a handle that is not closed.
int64_t lockstep_app_turn(lockstep_app *app);

// Sleeps after a turn that returned 0, until something can be read or is due, at most for `timeout_ns`. It
// may return earlier.
//
// # Safety
// `app` is NULL or a handle that is not closed.
lockstep_status lockstep_app_wait(lockstep_app *app, uint64_t timeout_ns);

// Stores where the replica is at `out`.
//
// # Safety
// `app` is NULL or a handle that is not closed; `out` may be written to.
lockstep_status lockstep_app_look(lockstep_app *app, lockstep_app_state *out);

// Stores the digest of the state at `out`: machine, timers, and how many outputs there were. Replicas that
// have applied the same have the same.
//
// # Safety
// `app` is NULL or a handle that is not closed; `out` may be written to.
lockstep_status lockstep_app_digest(lockstep_app *app, uint64_t *out);

// Puts the version of this replica in force, from the entry on that it stamps now: replicas of other
// versions go on as shadows. Returns 1, or a failure as a negative `lockstep_status`; or 0, and does
// nothing, where it is none of the shadows: its version is in force already, or none has taken over so far.
//
// # Safety
// `app` is NULL or a handle that is not closed.
int64_t lockstep_app_take_over(lockstep_app *app);

// Stores the machine at `out`, as `create` or `restore` made it, until the next call with the handle. To
// change it makes a copy that has parted from the others.
//
// # Safety
// `app` is NULL or a handle that is not closed; `out` may be written to.
lockstep_status lockstep_app_machine(lockstep_app *app, const void **out);

// Runs a replica until `goes_on` returns false, or until it cannot go on; with NULL until SIGTERM or SIGINT,
// which it then handles. It waits as its endpoint says, a millisecond at most. Lines that say where it is go
// to stderr. Failures are those of `lockstep_app_open` and `lockstep_app_turn`. Where the environment
// has LOCKSTEP_DEBUG it is `lockstep_debug` instead.
//
// # Safety
// As for `lockstep_app_open`; `goes_on` may be called with `context` until this returns.
lockstep_status lockstep_app_run(const lockstep_endpoint *endpoint,
                                 const lockstep_app_settings *settings,
                                 const lockstep_machine *machine,
                                 lockstep_goes_on goes_on,
                                 void *context);

// Opens a terminal on stdin and stdout that steps a machine along the committed stream, forward and back,
// from its beginning; `h` lists its commands. It publishes nothing, and opens no name. It returns when stdin
// ends, or after the command `x`.
//
// `LOCKSTEP_STATUS_MACHINE`: a callback has failed. `LOCKSTEP_STATUS_REPLICA`: the stream cannot be read
// from its beginning.
//
// # Safety
// As for `lockstep_app_open`.
lockstep_status lockstep_debug(const lockstep_endpoint *endpoint,
                               const lockstep_app_settings *settings,
                               const lockstep_machine *machine);

// Runs a whole cluster in a simulated network, with gateways, clients that send the messages of `plan`, and
// copies of the machine that are killed and come back, once for each seed. A seed gives the same run every
// time. Judged after each input: the invariant; that all copies have the same state at the same seq; that a
// twin which is restored from a snapshot now and then publishes the same; that timers fire once, in order,
// and none early.
//
// `LOCKSTEP_STATUS_TRIAL`: a rule is broken, and `lockstep_error()` has the simplest
// run that breaks it, with its story. `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
//
// # Safety
// `machine` points to a table whose functions keep what it promises; `plan` is NULL (the defaults) or points
// to a plan; `out` is NULL or may be written to.
lockstep_status lockstep_trial(const lockstep_machine *machine,
                               const lockstep_trial_plan *plan,
                               lockstep_trial_report *out);

// Applies `len` inputs to a machine and its twin, which is restored from a snapshot of the machine after
// every `every` of them, and compares outputs and states, with no world around: it finds a clock,
// randomness, and what snapshot or restore forget, at the first input at which it shows. Timers fire before
// the first input that is at or behind their time; in the end time leaps to those that are pending. Of the
// plan (NULL: none) it takes the invariant.
//
// Failures are those of `lockstep_trial`.
//
// # Safety
// As for `lockstep_trial`; `inputs` has `len` inputs, whose pointers are valid.
lockstep_status lockstep_twice(const lockstep_machine *machine,
                               const lockstep_input *inputs,
                               size_t len,
                               uint64_t every,
                               const lockstep_trial_plan *plan,
                               lockstep_trial_report *out);

// Stores at `out` how many nanoseconds an input costs in a machine, on average over so many `messages` of 48
// bytes to everybody, each with the outputs that the machine publishes for it. No cluster is around.
// `machine` NULL: in the counter of docs/APPLY.md in Rust, for comparison.
//
// `LOCKSTEP_STATUS_MACHINE`: a callback has failed.
//
// # Safety
// `machine` is NULL or points to a table whose functions keep what it promises; `out` may be written to.
lockstep_status lockstep_apply_cost(const lockstep_machine *machine, uint64_t messages, double *out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LOCKSTEP_H */
