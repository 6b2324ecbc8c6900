package lockstep

/*
#include <lockstep.h>
#include <stdlib.h>

extern bool lockstepIsAnswer(void *context, lockstep_event *event, uint8_t *payload, uint64_t number);
*/
import "C"

import (
	"runtime/cgo"
	"time"
	"unsafe"
)

// Participant publishes messages into the stream and delivers the stream, over one device. Its events are those of a
// Publisher and of a Subscriber.
type Participant struct {
	publishing
}

// ConnectParticipant opens the sockets. The stream begins with the first poll.
func ConnectParticipant(endpoint *Endpoint, start Start, delivery Delivery) (*Participant, error) {
	endpoint.mutex.RLock()
	defer endpoint.mutex.RUnlock()
	participant := &Participant{}
	err := call(func() C.lockstep_status {
		return C.lockstep_participant_connect(endpoint.endpoint, &start.start, C.uint32_t(delivery), &participant.of)
	})
	if err != nil {
		return nil, err
	}
	return participant, nil
}

// IsEnded is whether the subscription has ended: the event before gave the reason.
func (p *Participant) IsEnded() (bool, error) { return p.isEnded() }

// Cursor is the position behind the last delivered event; false before the subscription has begun.
func (p *Participant) Cursor() (Cursor, bool, error) { return p.cursor() }

// Request publishes a request and polls until isAnswer returns true, at most for the timeout. It returns the request's
// number; 0 where it was not published.
//
// isAnswer receives every event of these polls, its payload, which is valid until it returns, and the request's number (0
// before it is published: what it returns then is not looked at). Every event is the program's and none comes again; the
// entries of the stream behind the answer are left for the next poll. isAnswer may close the handle, which ends with the
// request; all else with it is refused with StatusInUse. A panic ends the request, which may be published and answered
// then. The answering application says in its message which request it answers. A leader's death is no end: the request is
// sent again by itself, and is in the stream once.
//
// StatusTimedOut: no answer came in time, and one may come later, as an event of a later poll. ErrBackpressure: the window
// was full for the whole time, and the request was not published. At once: StatusFenced, StatusClosed, StatusNotAllowed,
// and StatusUnanswered, where nobody knows an answer and none will be read.
func (p *Participant) Request(id uint32, payload []byte, destination uint32, timeout time.Duration,
	isAnswer func(event *Event, payload []byte, number uint64) bool) (uint64, error) {
	most, err := nanos(timeout)
	if err != nil {
		return 0, err
	}
	asked := &request{isAnswer: isAnswer}
	context := cgo.NewHandle(asked)
	defer context.Delete()
	var number C.uint64_t
	err = p.guard.ask(func() C.lockstep_status {
		return C.lockstep_participant_request(p.of, C.uint32_t(id), bytesOf(payload), C.size_t(len(payload)),
			C.uint32_t(destination), most, C.lockstep_is_answer(C.lockstepIsAnswer), unsafe.Pointer(&context), &number)
	})
	if asked.panicked {
		panic(asked.panic)
	}
	return uint64(number), err
}

// request is the function of a request, and the panic that has left it: that waits until the library has returned.
type request struct {
	isAnswer func(event *Event, payload []byte, number uint64) bool
	panicked bool
	panic    any
}

func (r *request) ask(event *Event, payload []byte, number uint64) (isOver bool) {
	if r.panicked {
		return true
	}
	r.panicked = true
	defer func() {
		if r.panicked {
			r.panic, isOver = recover(), true
		}
	}()
	isOver = r.isAnswer(event, payload, number)
	r.panicked = false
	return isOver
}

//export lockstepIsAnswer
func lockstepIsAnswer(context unsafe.Pointer, event *C.lockstep_event, payload *C.uint8_t, number C.uint64_t) C.bool {
	asked := (*(*cgo.Handle)(context)).Value().(*request)
	row := *(*Event)(unsafe.Pointer(event))
	row.payloadAt = 0
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(payload)), int(row.payloadLen))
	return C.bool(asked.ask(&row, bytes, uint64(number)))
}
