package lockstep

/*
#include <lockstep.h>
#include <stdlib.h>
*/
import "C"

import (
	"time"
	"unsafe"
)

// Place is where an event stands in the merged order of a set.
type Place struct {
	// Number is the merged number of the entry, from 1 without holes; 0 of an event that stands for no entry. What one
	// entry says in several events has one number.
	Number uint64
	// Time is the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls.
	Time uint64
	// Stream is the number of the stream's cluster.
	Stream uint64
}

// Compiles only if a place is as long as that of lockstep.h.
var _ [C.sizeof_lockstep_place]byte = [unsafe.Sizeof(Place{})]byte{}

// MergedBatch is the events of one poll in the merged order of a set: Places has the place of each. It lies in memory of
// the handle, and is valid until the next call with that.
type MergedBatch struct {
	Batch
	Places []Place
}

// MergedSubscriber delivers the streams of a set in their merged order, as committed: each entry has a number there, from
// 1 without holes, which is the same for all readers. Each stream's own order is kept, and a stream that is idle or
// stalled holds up no other one. A program that reads one stream uses a Subscriber.
type MergedSubscriber struct {
	guard guard
	of    *C.lockstep_merged_subscriber
}

// ConnectMergedSubscriber reads the set of the file at path ("": the one that LOCKSTEP_CONFIG names, or
// /etc/lockstep/lockstep.toml), and opens the streams that are merged at start: "live", a moment ago, which is looked for
// at most for the timeout; "beginning", at the first entry of the home stream; or what Cursor of an earlier handle has
// returned.
func ConnectMergedSubscriber(path string, start string, timeout time.Duration) (*MergedSubscriber, error) {
	most, err := nanos(timeout)
	if err != nil {
		return nil, err
	}
	begin, err := text(StatusArgument, start)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(begin))
	var name *C.char
	if path != "" {
		if name, err = text(StatusArgument, path); err != nil {
			return nil, err
		}
		defer C.free(unsafe.Pointer(name))
	}
	merged := &MergedSubscriber{}
	err = call(func() C.lockstep_status {
		return C.lockstep_merged_subscriber_connect(name, begin, most, &merged.of)
	})
	if err != nil {
		return nil, err
	}
	return merged, nil
}

// Close frees the handle and closes its sockets. It waits for the end of a call of another goroutine.
func (m *MergedSubscriber) Close() {
	m.guard.close(func() { C.lockstep_merged_subscriber_close(&m.of) })
}

// PollBatch is one turn: it receives from each stream, and returns at most limit messages and every other event, in the
// merged order. Never blocks.
func (m *MergedSubscriber) PollBatch(limit int) (MergedBatch, error) {
	if err := notNegative("limit", int64(limit)); err != nil {
		return MergedBatch{}, err
	}
	var batch C.lockstep_merged_batch
	work, err := m.guard.number(func() C.int64_t {
		return C.lockstep_merged_subscriber_poll_batch(m.of, C.size_t(limit), &batch)
	})
	if err != nil {
		return MergedBatch{}, err
	}
	places := unsafe.Slice((*Place)(unsafe.Pointer(batch.places)), int(batch.batch.len))
	return MergedBatch{newBatch(work, &batch.batch), places}, nil
}

// Wait sleeps until there is something to poll for.
func (m *MergedSubscriber) Wait(timeout time.Duration) error {
	most, err := nanos(timeout)
	if err == nil {
		_, err = m.guard.number(func() C.int64_t { return C.lockstep_merged_subscriber_wait(m.of, most) })
	}
	return err
}

// Cursor is the place behind the last delivered event as a text, for ConnectMergedSubscriber of a later handle.
func (m *MergedSubscriber) Cursor() (string, error) {
	var cursor string
	err := m.guard.call(func() C.lockstep_status {
		var printed *C.char
		status := C.lockstep_merged_subscriber_cursor(m.of, &printed)
		if status == C.LOCKSTEP_STATUS_OK {
			cursor = C.GoString(printed)
		}
		return status
	})
	return cursor, err
}

// NextNumber is the number that the next merged entry gets.
func (m *MergedSubscriber) NextNumber() (uint64, error) {
	next, err := m.guard.number(func() C.int64_t { return C.lockstep_merged_subscriber_next_number(m.of) })
	return uint64(next), err
}

// IsEnded is whether the subscription of a stream has ended, and the merged order with it: the event before gave the
// reason.
func (m *MergedSubscriber) IsEnded() (bool, error) {
	result, err := m.guard.number(func() C.int64_t { return C.lockstep_merged_subscriber_is_ended(m.of) })
	return result == 1, err
}

// StreamName is the name of the stream of a cluster in the set's file; empty if the set has none.
func (m *MergedSubscriber) StreamName(stream uint64) (string, error) {
	var name string
	_, err := m.guard.number(func() C.int64_t {
		if m.of == nil {
			return C.lockstep_merged_subscriber_next_number(nil) // the failure of every call behind Close
		}
		name = C.GoString(C.lockstep_merged_subscriber_stream_name(m.of, C.uint64_t(stream)))
		return 0
	})
	return name, err
}
