package lockstep

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Messages of one request: it, its answer, and one more.
const messagesOfOne = 3

const patience = 60 * time.Second

// asker makes requests beside an application that answers each to its publisher, `answer to NUMBER`, and then `more`; it
// answers `later` when the next request comes. tests/foreign/bindings/go.rs has the application.
type asker struct {
	t                                    *testing.T
	participant                          *Participant
	id                                   uint32
	messages, committed, epochs, lastSeq uint64
}

func newAsker(t *testing.T) *asker {
	if os.Getenv("LOCKSTEP_BINDINGS_TAKEOVERS") == "" {
		t.Skip("there is no application")
	}
	endpoint, err := EndpointFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	participant, id := participant(t, endpoint, Live(), "requests-go")
	return &asker{t: t, participant: participant, id: id}
}

func (a *asker) onEvent(event *Event) {
	switch event.Kind {
	case KindEpoch:
		a.epochs++
	case KindOutcomeCommitted:
		a.committed++
	case KindMessage:
		if event.Seq <= a.lastSeq {
			a.t.Fatalf("seq %d behind %d", event.Seq, a.lastSeq)
		}
		a.lastSeq = event.Seq
		a.messages++
	}
}

// request makes one request; its answer is a message at the seq that it returns.
func (a *asker) request(text string, timeout time.Duration) (seq uint64, err error) {
	_, err = a.participant.Request(a.id, []byte(text), Everybody, timeout,
		func(event *Event, payload []byte, number uint64) bool {
			a.onEvent(event)
			if event.Kind != KindMessage || event.Destination != a.id || string(payload) != fmt.Sprintf("answer to %d", number) {
				return false
			}
			seq = event.Seq
			return true
		})
	return seq, err
}

func (a *asker) answered() {
	seq, err := a.request("ask", patience)
	if err != nil || seq != a.lastSeq {
		a.t.Fatalf("%v; what is behind the answer is left for the next poll: %d, %d", err, seq, a.lastSeq)
	}
}

// TestEachRequestHasItsAnswer makes requests until it has seen takeovers.
func TestEachRequestHasItsAnswer(t *testing.T) {
	a := newAsker(t)
	takeovers, err := strconv.ParseUint(os.Getenv("LOCKSTEP_BINDINGS_TAKEOVERS"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	requests := uint64(0)
	for ; a.epochs < takeovers || requests < 20; requests++ {
		a.answered()
	}
	for isDrained := false; !isDrained || a.messages < messagesOfOne*requests; {
		if err := a.participant.Wait(time.Millisecond); err != nil {
			t.Fatal(err)
		}
		batch, err := a.participant.PollBatch(64)
		if err != nil {
			t.Fatal(err)
		}
		for at := range batch.Events {
			a.onEvent(&batch.Events[at])
		}
		if isDrained, err = a.participant.IsDrained(); err != nil {
			t.Fatal(err)
		}
	}
	if a.messages != messagesOfOne*requests || a.committed != requests {
		t.Fatalf("%d messages and %d outcomes of %d requests", a.messages, a.committed, requests)
	}
	fmt.Printf("%d requests, each with its answer, %d takeovers\n", requests, a.epochs)
}

// TestALateAnswerIsAnEventOfALaterCall makes a request that is not answered in its time, and one whose function panics.
func TestALateAnswerIsAnEventOfALaterCall(t *testing.T) {
	a := newAsker(t)
	_, err := a.request("later", 200*time.Millisecond)
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != StatusTimedOut {
		t.Fatalf("not TIMED_OUT: %v", err)
	}
	for _, words := range []string{"request 1 has no answer within 200ms", "may be answered later"} {
		if !strings.Contains(err.Error(), words) {
			t.Fatalf("%q is not in: %v", words, err)
		}
	}
	if a.messages != 1 || a.committed != 1 {
		t.Fatalf("the request: %d, %d", a.messages, a.committed)
	}
	a.answered()
	if a.messages != 5 {
		t.Fatalf("both requests, the late answer with its companion, and the answer: %d", a.messages)
	}
	func() {
		defer func() {
			if recovered := recover(); recovered != "seven" {
				t.Fatalf("the panic: %v", recovered)
			}
		}()
		a.participant.Request(a.id, nil, Everybody, patience, func(*Event, []byte, uint64) bool { panic("seven") })
	}()
	if _, err = a.request("ask", patience); err != nil {
		t.Fatalf("the handle goes on: %v", err)
	}
	a.closes()
	fmt.Println("answered later")
}

// closes ends a request whose function closes the handle, and looks whether that waits for itself.
func (a *asker) closes() {
	ended := make(chan error)
	go func() {
		_, err := a.participant.Request(a.id, nil, Everybody, patience, func(*Event, []byte, uint64) bool {
			a.participant.Close()
			a.participant.Close()
			return true
		})
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			a.t.Fatalf("a request whose function closes the handle: %v", err)
		}
	case <-time.After(10 * time.Second):
		a.t.Fatal("Close in the function of a request waits for the end of that request")
	}
	_, err := a.participant.Publish(a.id, nil, Everybody)
	var failure *Error
	if !errors.As(err, &failure) || failure.Status != StatusClosedHandle {
		a.t.Fatalf("not CLOSED_HANDLE: %v", err)
	}
}
