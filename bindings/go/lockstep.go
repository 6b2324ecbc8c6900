// Package lockstep publishes into the stream of a lockstep cluster, and subscribes to it, by way of the C library:
// lockstep.h says more about each function. A handle belongs to one goroutine at a time. A call with a handle that is
// closed is refused with StatusClosedHandle.
//
// pkg-config must find lockstep: bindings/c/install.sh PREFIX, and PKG_CONFIG_PATH=PREFIX/lib/pkgconfig.
package lockstep

/*
#cgo pkg-config: lockstep
#include <lockstep.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Everybody is the usual destination of messages.
const Everybody uint32 = C.LOCKSTEP_EVERYBODY

// ErrBackpressure means that the window is full: poll, and publish again.
var ErrBackpressure = errors.New("the window is full: poll, and publish again")

// Status is the result of a call.
type Status int32

// The statuses of lockstep.h.
const (
	// Written from bindings/api.toml: statuses.
	StatusOk            Status = C.LOCKSTEP_STATUS_OK
	StatusBackpressure  Status = C.LOCKSTEP_STATUS_BACKPRESSURE
	StatusNotOpen       Status = C.LOCKSTEP_STATUS_NOT_OPEN
	StatusTooLong       Status = C.LOCKSTEP_STATUS_TOO_LONG
	StatusAheadOfNumber Status = C.LOCKSTEP_STATUS_AHEAD_OF_NUMBER
	StatusFenced        Status = C.LOCKSTEP_STATUS_FENCED
	StatusClosed        Status = C.LOCKSTEP_STATUS_CLOSED
	StatusName          Status = C.LOCKSTEP_STATUS_NAME
	StatusTimedOut      Status = C.LOCKSTEP_STATUS_TIMED_OUT
	StatusTableFull     Status = C.LOCKSTEP_STATUS_TABLE_FULL
	StatusNotAllowed    Status = C.LOCKSTEP_STATUS_NOT_ALLOWED
	StatusUnanswered    Status = C.LOCKSTEP_STATUS_UNANSWERED
	StatusIo            Status = C.LOCKSTEP_STATUS_IO
	StatusConfig        Status = C.LOCKSTEP_STATUS_CONFIG
	StatusArgument      Status = C.LOCKSTEP_STATUS_ARGUMENT
	StatusClosedHandle  Status = C.LOCKSTEP_STATUS_CLOSED_HANDLE
	StatusPanic         Status = C.LOCKSTEP_STATUS_PANIC
	StatusOtherProcess  Status = C.LOCKSTEP_STATUS_OTHER_PROCESS
	StatusInUse         Status = C.LOCKSTEP_STATUS_IN_USE
	StatusMachine       Status = C.LOCKSTEP_STATUS_MACHINE
	StatusReplica       Status = C.LOCKSTEP_STATUS_REPLICA
	StatusTrial         Status = C.LOCKSTEP_STATUS_TRIAL
	// End of what is written from bindings/api.toml.
)

// String is the status' name, which is the same in every language: IN_USE.
func (s Status) String() string { return C.GoString(C.lockstep_status_name(C.int32_t(s))) }

// Kind is what an event reports. A program ignores kinds that it does not know.
type Kind uint32

// The kinds of lockstep.h, which says what the fields of each mean.
const (
	// Written from bindings/api.toml: kinds of events.
	KindMessage          Kind = C.LOCKSTEP_EVENT_KIND_MESSAGE
	KindCommitted        Kind = C.LOCKSTEP_EVENT_KIND_COMMITTED
	KindRetract          Kind = C.LOCKSTEP_EVENT_KIND_RETRACT
	KindEpoch            Kind = C.LOCKSTEP_EVENT_KIND_EPOCH
	KindMembership       Kind = C.LOCKSTEP_EVENT_KIND_MEMBERSHIP
	KindOpened           Kind = C.LOCKSTEP_EVENT_KIND_OPENED
	KindClosed           Kind = C.LOCKSTEP_EVENT_KIND_CLOSED
	KindGatewayHeartbeat Kind = C.LOCKSTEP_EVENT_KIND_GATEWAY_HEARTBEAT
	KindFrame            Kind = C.LOCKSTEP_EVENT_KIND_FRAME
	KindFiltered         Kind = C.LOCKSTEP_EVENT_KIND_FILTERED
	KindDay              Kind = C.LOCKSTEP_EVENT_KIND_DAY
	KindOrdered          Kind = C.LOCKSTEP_EVENT_KIND_ORDERED
	KindGap              Kind = C.LOCKSTEP_EVENT_KIND_GAP
	KindAbandoned        Kind = C.LOCKSTEP_EVENT_KIND_ABANDONED
	KindPartsDiscarded   Kind = C.LOCKSTEP_EVENT_KIND_PARTS_DISCARDED
	KindMulticast        Kind = C.LOCKSTEP_EVENT_KIND_MULTICAST
	KindCaughtUp         Kind = C.LOCKSTEP_EVENT_KIND_CAUGHT_UP
	KindReplaying        Kind = C.LOCKSTEP_EVENT_KIND_REPLAYING
	KindRefused          Kind = C.LOCKSTEP_EVENT_KIND_REFUSED
	KindFounded          Kind = C.LOCKSTEP_EVENT_KIND_FOUNDED
	KindHistoryLost      Kind = C.LOCKSTEP_EVENT_KIND_HISTORY_LOST
	KindAhead            Kind = C.LOCKSTEP_EVENT_KIND_AHEAD
	KindLag              Kind = C.LOCKSTEP_EVENT_KIND_LAG
	KindDiverged         Kind = C.LOCKSTEP_EVENT_KIND_DIVERGED
	KindMachineReport    Kind = C.LOCKSTEP_EVENT_KIND_MACHINE_REPORT
	KindSetNote          Kind = C.LOCKSTEP_EVENT_KIND_SET_NOTE
	KindNameOpened       Kind = C.LOCKSTEP_EVENT_KIND_NAME_OPENED
	KindNameRefused      Kind = C.LOCKSTEP_EVENT_KIND_NAME_REFUSED
	KindNotAllowed       Kind = C.LOCKSTEP_EVENT_KIND_NOT_ALLOWED
	KindOutcomeStamped   Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_STAMPED
	KindOutcomeUnstamped Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_UNSTAMPED
	KindOutcomeCommitted Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED
	KindThrottled        Kind = C.LOCKSTEP_EVENT_KIND_THROTTLED
	KindUnthrottled      Kind = C.LOCKSTEP_EVENT_KIND_UNTHROTTLED
	KindOutcomeDiverged  Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_DIVERGED
	KindOutcomeFenced    Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_FENCED
	KindOutcomeClosed    Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_CLOSED
	KindOutcomesUnknown  Kind = C.LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN
	KindOutcomeDiscarded Kind = C.LOCKSTEP_EVENT_KIND_OUTCOME_DISCARDED
	// End of what is written from bindings/api.toml.
)

// Delivery is when a message is delivered.
type Delivery uint32

const (
	// Written from bindings/api.toml: deliveries.

	// Stamped is when the leader's datagram arrives; a takeover may retract it.
	Stamped Delivery = C.LOCKSTEP_DELIVERY_STAMPED
	// Committed is when a quorum holds it; final.
	Committed Delivery = C.LOCKSTEP_DELIVERY_COMMITTED
	// End of what is written from bindings/api.toml.
)

// Error is why a call has failed: what failed, where, and what to do.
type Error struct {
	Status Status
	Text   string
}

func (e *Error) Error() string { return e.Text }

// call makes a call, and reads the text of its failure on the same thread.
func call(function func() C.lockstep_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := function()
	switch status {
	case C.LOCKSTEP_STATUS_OK:
		return nil
	case C.LOCKSTEP_STATUS_BACKPRESSURE:
		return ErrBackpressure
	}
	return &Error{Status(status), C.GoString(C.lockstep_error())}
}

// guard lets one call at a time have a handle.
type guard struct {
	mutex sync.Mutex
	// asker is the thread of a request, which runs nothing but its function meanwhile; 0 without a request.
	asker atomic.Int64
}

// call makes a call with the handle.
func (g *guard) call(function func() C.lockstep_status) error {
	if !g.mutex.TryLock() {
		return &Error{StatusInUse, "another goroutine is in a call with this handle, or this function is asked by a request of it: a handle is in one call at a time"}
	}
	defer g.mutex.Unlock()
	return call(function)
}

// ask makes a request with the handle, whose function may close it.
func (g *guard) ask(function func() C.lockstep_status) error {
	return g.call(func() C.lockstep_status {
		g.asker.Store(int64(syscall.Gettid()))
		defer g.asker.Store(0)
		return function()
	})
}

// close waits until no call has the handle, and closes it. The library frees the handle behind the request whose function
// closes it.
func (g *guard) close(function func()) {
	// A request that begins now runs on another thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if g.asker.Load() == int64(syscall.Gettid()) {
		function()
		return
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	function()
}

// number makes a call with the handle that returns a number, or a failure as a negative status.
func (g *guard) number(function func() C.int64_t) (int64, error) {
	var result C.int64_t
	err := g.call(func() C.lockstep_status {
		result = function()
		if result < 0 {
			return C.lockstep_status(-result)
		}
		return C.LOCKSTEP_STATUS_OK
	})
	return int64(result), err
}

// notNegative refuses a number that C would take for a very large one.
func notNegative(what string, number int64) error {
	if number < 0 {
		return &Error{StatusArgument, fmt.Sprintf("the %s is negative: %d", what, number)}
	}
	return nil
}

// nanos is a timeout as C has it.
func nanos(timeout time.Duration) (C.uint64_t, error) {
	return C.uint64_t(timeout), notNegative("timeout in nanoseconds", int64(timeout))
}

// text is a text of Go as C has it, to be freed. One with a 0 byte in it would end there, and is refused.
func text(status Status, words string) (*C.char, error) {
	if strings.IndexByte(words, 0) >= 0 {
		return nil, &Error{status, fmt.Sprintf("%q has a 0 byte in it", words)}
	}
	return C.CString(words), nil
}

// bytesOf is where a payload begins; nil of one that is empty.
func bytesOf(payload []byte) *C.uint8_t {
	if len(payload) == 0 {
		return nil
	}
	return (*C.uint8_t)(unsafe.Pointer(&payload[0]))
}

// Event is an event; its Kind says which fields have a meaning. The others are 0.
type Event struct {
	Seq          uint64
	PublisherSeq uint64
	Timestamp    uint64
	Value        uint64
	Value2       uint64
	Publisher    uint32
	Destination  uint32
	payloadAt    uint32
	payloadLen   uint32
	Kind         Kind
	Detail       uint32
}

// Compiles only if an event is as long as that of lockstep.h.
var _ [C.sizeof_lockstep_event]byte = [unsafe.Sizeof(Event{})]byte{}

// Batch is the events of one poll. It lies in memory of the handle, and is valid until the next call with that.
type Batch struct {
	Events []Event
	// Work is the work of the poll; 0 is an idle turn.
	Work  int64
	bytes []byte
}

// Payload is the payload of an event of this batch. Copy what you keep.
func (b *Batch) Payload(event *Event) []byte {
	return b.bytes[event.payloadAt : event.payloadAt+event.payloadLen]
}

func newBatch(work int64, batch *C.lockstep_batch) Batch {
	return Batch{
		Events: unsafe.Slice((*Event)(unsafe.Pointer(batch.events)), int(batch.len)),
		Work:   work,
		bytes:  unsafe.Slice((*byte)(unsafe.Pointer(batch.bytes)), int(batch.bytes_len)),
	}
}

// Cursor is a position in a stream.
type Cursor struct{ cursor C.lockstep_cursor }

// ParseCursor reads a cursor from the text that String writes.
func ParseCursor(printed string) (Cursor, error) {
	var cursor Cursor
	words, err := text(StatusArgument, printed)
	if err != nil {
		return cursor, err
	}
	defer C.free(unsafe.Pointer(words))
	err = call(func() C.lockstep_status { return C.lockstep_cursor_parse(words, &cursor.cursor) })
	return cursor, err
}

func (c Cursor) String() string {
	var text [C.LOCKSTEP_CURSOR_TEXT]C.char
	C.lockstep_cursor_print(&c.cursor, &text[0])
	return C.GoString(&text[0])
}

// Start is where a subscription begins.
type Start struct{ start C.lockstep_start }

// Live begins at the end of the stream as it is at the first poll.
func Live() Start { return Start{C.lockstep_start{kind: C.LOCKSTEP_START_KIND_LIVE}} }

// From begins at seq; the first of the stream is 1.
func From(seq uint64) Start {
	return Start{C.lockstep_start{kind: C.LOCKSTEP_START_KIND_FROM, seq: C.uint64_t(seq)}}
}

// Oldest begins at the oldest entry that a journal has.
func Oldest() Start { return Start{C.lockstep_start{kind: C.LOCKSTEP_START_KIND_OLDEST}} }

// At begins at a cursor.
func At(cursor Cursor) Start {
	return Start{C.lockstep_start{kind: C.LOCKSTEP_START_KIND_CURSOR, cursor: cursor.cursor}}
}

// CursorFile is the file in which a program stores the cursor behind what it has processed, for its next start. Each Save
// replaces it as a whole, and one process has it at a time, by a lock on the file beside it whose name ends with .lock.
// What a program had processed since the last Save comes again after a crash.
type CursorFile struct {
	guard guard
	file  *C.lockstep_cursor_file
}

// OpenCursorFile opens the file; one that is absent has no cursor, and is created by the first Save. StatusInUse: somebody
// else has it open. StatusArgument: it has anything but a whole cursor.
func OpenCursorFile(path string) (*CursorFile, error) {
	name, err := text(StatusArgument, path)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(name))
	file := &CursorFile{}
	err = call(func() C.lockstep_status { return C.lockstep_cursor_file_open(name, &file.file) })
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Cursor is the cursor that was read or saved last; false if there is none so far.
func (f *CursorFile) Cursor() (Cursor, bool, error) {
	var cursor Cursor
	stored, err := f.guard.number(func() C.int64_t { return C.lockstep_cursor_file_cursor(f.file, &cursor.cursor) })
	return cursor, stored == 1, err
}

// StartOr is where a subscription begins: at the cursor, or at otherwise if there is none. A cursor of another history or
// log ends the subscription, and never begins anew.
func (f *CursorFile) StartOr(otherwise Start) (Start, error) {
	chosen := otherwise
	err := f.guard.call(func() C.lockstep_status {
		return C.lockstep_cursor_file_start_or(f.file, &otherwise.start, &chosen.start)
	})
	return chosen, err
}

// Save replaces the stored cursor. When it succeeds, the new one is on the disk: that takes up to some milliseconds. To
// save the cursor that is stored already costs nothing.
func (f *CursorFile) Save(cursor Cursor) error {
	return f.guard.call(func() C.lockstep_status { return C.lockstep_cursor_file_save(f.file, &cursor.cursor) })
}

// Close gives the file to others, and saves nothing. It waits for the end of a call of another goroutine.
func (f *CursorFile) Close() { f.guard.close(func() { C.lockstep_cursor_file_close(&f.file) }) }

// Endpoint is which cluster, and how it is reached. Any number of goroutines may use it.
type Endpoint struct {
	mutex    sync.RWMutex
	endpoint *C.lockstep_endpoint
}

// EndpointFromEnv reads the file that LOCKSTEP_CONFIG names, or /etc/lockstep/lockstep.toml.
func EndpointFromEnv() (*Endpoint, error) {
	endpoint := &Endpoint{}
	err := call(func() C.lockstep_status { return C.lockstep_endpoint_from_env(&endpoint.endpoint) })
	if err != nil {
		return nil, err
	}
	return endpoint, nil
}

// EndpointFromFile reads the cluster's file.
func EndpointFromFile(path string) (*Endpoint, error) {
	name, err := text(StatusArgument, path)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(name))
	endpoint := &Endpoint{}
	err = call(func() C.lockstep_status { return C.lockstep_endpoint_from_file(name, &endpoint.endpoint) })
	if err != nil {
		return nil, err
	}
	return endpoint, nil
}

// Close frees the endpoint. Handles that were connected with it go on.
func (e *Endpoint) Close() {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	C.lockstep_endpoint_close(&e.endpoint)
}

// stream is what every handle has.
type stream struct {
	guard guard
	of    *C.lockstep_participant
}

// Close frees the handle and closes its sockets. Messages without an outcome may be stamped or not. It waits for the end
// of a call of another goroutine, and not in the function of a request.
func (s *stream) Close() { s.guard.close(func() { C.lockstep_participant_close(&s.of) }) }

// PollBatch is one turn: it receives, sends, and returns at most limit messages and every other event. Never blocks.
func (s *stream) PollBatch(limit int) (Batch, error) {
	if err := notNegative("limit", int64(limit)); err != nil {
		return Batch{}, err
	}
	var batch C.lockstep_batch
	work, err := s.guard.number(func() C.int64_t {
		return C.lockstep_participant_poll_batch(s.of, C.size_t(limit), &batch)
	})
	if err != nil {
		return Batch{}, err
	}
	return newBatch(work, &batch), nil
}

// Wait sends what is written, and sleeps until there is something to poll for.
func (s *stream) Wait(timeout time.Duration) error {
	most, err := nanos(timeout)
	if err == nil {
		_, err = s.guard.number(func() C.int64_t { return C.lockstep_participant_wait(s.of, most) })
	}
	return err
}

// isEnded is IsEnded of the handles that read.
func (s *stream) isEnded() (bool, error) {
	result, err := s.guard.number(func() C.int64_t { return C.lockstep_participant_is_ended(s.of) })
	return result == 1, err
}

// cursor is Cursor of the handles that read.
func (s *stream) cursor() (Cursor, bool, error) {
	var cursor Cursor
	stored, err := s.guard.number(func() C.int64_t { return C.lockstep_participant_cursor(s.of, &cursor.cursor) })
	return cursor, stored == 1, err
}

// publishing is what every handle that publishes has.
type publishing struct {
	stream
}

// Open opens a name and polls until it has its id. Open names first: events of these polls are lost.
func (p *publishing) Open(name string, timeout time.Duration) (uint32, error) {
	most, err := nanos(timeout)
	if err != nil {
		return 0, err
	}
	words, err := text(StatusName, name)
	if err != nil {
		return 0, err
	}
	defer C.free(unsafe.Pointer(words))
	var id C.uint32_t
	err = p.guard.call(func() C.lockstep_status {
		return C.lockstep_participant_open(p.of, words, most, nil, nil, &id)
	})
	return uint32(id), err
}

// Publish copies a message into the open datagram, and returns its number. The next Flush, PollBatch or Wait sends
// it.
func (p *publishing) Publish(id uint32, payload []byte, destination uint32) (uint64, error) {
	var number C.uint64_t
	err := p.guard.call(func() C.lockstep_status {
		return C.lockstep_participant_publish(p.of, C.uint32_t(id), bytesOf(payload), C.size_t(len(payload)),
			C.uint32_t(destination), &number)
	})
	return uint64(number), err
}

// Flush sends what is written, and returns the number of datagrams.
func (p *publishing) Flush() (int64, error) {
	return p.guard.number(func() C.int64_t { return C.lockstep_participant_flush(p.of) })
}

// Outcomes is what became of the messages of a handle so far, in numbers of messages.
type Outcomes struct {
	// Committed ones are in the stream for ever.
	Committed uint64
	// Discarded ones are in the stream, and delivered by no reader.
	Discarded uint64
	// Diverged ones have another message under their number.
	Diverged uint64
	// Fenced ones were never stamped, as a newer process has opened the name.
	Fenced uint64
	// Closed ones were never stamped, as the publisher was closed before.
	Closed uint64
	// Unknown ones are those of a handle whose outcomes are unknown.
	Unknown uint64
	// Open ones have no outcome so far.
	Open uint64
}

// Outcomes tells what became of the messages so far.
func (p *publishing) Outcomes() (Outcomes, error) {
	var counts C.lockstep_outcomes
	err := p.guard.call(func() C.lockstep_status { return C.lockstep_participant_outcomes(p.of, &counts) })
	return outcomesOf(counts), err
}

func outcomesOf(counts C.lockstep_outcomes) Outcomes {
	return Outcomes{
		Committed: uint64(counts.committed),
		Discarded: uint64(counts.discarded),
		Diverged:  uint64(counts.diverged),
		Fenced:    uint64(counts.fenced),
		Closed:    uint64(counts.closed),
		Unknown:   uint64(counts.unknown),
		Open:      uint64(counts.open),
	}
}

// IsDrained is whether every published message has its outcome, whichever: Outcomes tells.
func (p *publishing) IsDrained() (bool, error) {
	result, err := p.guard.number(func() C.int64_t { return C.lockstep_participant_is_drained(p.of) })
	return result == 1, err
}

// Publisher publishes messages into the stream. Its events are their outcomes.
type Publisher struct {
	publishing
}

// ConnectPublisher opens the sockets.
func ConnectPublisher(endpoint *Endpoint) (*Publisher, error) {
	endpoint.mutex.RLock()
	defer endpoint.mutex.RUnlock()
	publisher := &Publisher{}
	err := call(func() C.lockstep_status {
		return C.lockstep_publisher_connect(endpoint.endpoint, &publisher.of)
	})
	if err != nil {
		return nil, err
	}
	return publisher, nil
}

// Subscriber delivers the stream.
type Subscriber struct {
	stream
}

// ConnectSubscriber opens the sockets. The stream begins with the first poll.
func ConnectSubscriber(endpoint *Endpoint, start Start, delivery Delivery) (*Subscriber, error) {
	endpoint.mutex.RLock()
	defer endpoint.mutex.RUnlock()
	subscriber := &Subscriber{}
	err := call(func() C.lockstep_status {
		return C.lockstep_subscriber_connect(endpoint.endpoint, &start.start, C.uint32_t(delivery), &subscriber.of)
	})
	if err != nil {
		return nil, err
	}
	return subscriber, nil
}

// IsEnded is whether the subscription has ended: the event before gave the reason.
func (s *Subscriber) IsEnded() (bool, error) { return s.isEnded() }

// Cursor is the position behind the last delivered event; false before the subscription has begun.
func (s *Subscriber) Cursor() (Cursor, bool, error) { return s.cursor() }
