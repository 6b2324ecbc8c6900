package lockstep

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// answer prints a misuse and the name of the status that answers it: `unknown-id<TAB>NOT_OPEN`.
func answer(misuse string, err error) {
	var failure *Error
	switch {
	case err == nil:
		fmt.Printf("%s\t%s\n", misuse, StatusOk)
	case errors.As(err, &failure):
		fmt.Printf("%s\t%s\n", misuse, failure.Status)
	default:
		fmt.Printf("%s\t%T\n", misuse, err)
	}
}

// TestMisuses commits each misuse of docs/BINDINGS.md that Go can express; tests/foreign/bindings/misuses.rs compares
// what it prints with the table.
func TestMisuses(t *testing.T) {
	endpoint, err := EndpointFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := ConnectPublisher(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	id, err := publisher.Open("misuses-go", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	answer("two-threads", twoThreads(publisher))
	_, err = publisher.Publish(12345, nil, Everybody)
	answer("unknown-id", err)
	_, err = publisher.Publish(id, make([]byte, 1<<26), Everybody)
	answer("too-long", err)
	_, err = publisher.Open("", time.Second)
	answer("empty-name", err)
	_, err = publisher.Open(strings.Repeat("x", 65), time.Second)
	answer("long-name", err)
	_, err = publisher.Open("a\x00b", time.Second)
	answer("zero-in-name", err)
	answer("start-zero", connect(endpoint, 0))
	negative := int64(-1)
	answer("start-negative", connect(endpoint, uint64(negative)))
	_, err = ParseCursor("here")
	answer("start-text", err)
	answer("negative-wait", publisher.Wait(-time.Millisecond))
	_, err = publisher.Open("another", -time.Millisecond)
	answer("negative-open", err)
	_, err = publisher.PollBatch(-1)
	answer("negative-limit", err)
	cursorFiles(t)
	merged(t)
	requests(t, endpoint)
	publisher.Close()
	_, err = publisher.Publish(id, nil, Everybody)
	answer("use-after-close", err)
	publisher.Close()
	answer("close-twice", nil)
	endpoint.Close()
	_, err = ConnectPublisher(endpoint)
	answer("closed-endpoint", err)
}

func participant(t *testing.T, endpoint *Endpoint, start Start, name string) (*Participant, uint32) {
	participant, err := ConnectParticipant(endpoint, start, Committed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(participant.Close)
	id, err := participant.Open(name, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return participant, id
}

func requests(t *testing.T, endpoint *Endpoint) {
	asking, id := participant(t, endpoint, Live(), "misuses-go-requests")
	var nested error
	_, err := asking.Request(id, []byte("ask"), Everybody, 10*time.Second, func(event *Event, _ []byte, number uint64) bool {
		_, nested = asking.Publish(id, nil, Everybody)
		return event.Kind == KindMessage && event.Publisher == id && event.PublisherSeq == number
	})
	if err != nil {
		t.Fatal(err)
	}
	answer("call-in-request", nested)
	none := func(*Event, []byte, uint64) bool { return false }
	_, err = asking.Request(id, nil, Everybody, time.Millisecond, none)
	answer("request-late", err)
	_, err = asking.Request(id, nil, Everybody, -time.Millisecond, none)
	answer("request-negative", err)
	closing, closed := participant(t, endpoint, Live(), "closing")
	_, err = closing.Request(closed, nil, Everybody, 10*time.Second, func(event *Event, _ []byte, number uint64) bool {
		closing.Close()
		return event.Kind == KindMessage && event.Publisher == closed && event.PublisherSeq == number
	})
	if _, behind := closing.Flush(); behind == nil {
		t.Fatal("the handle is open behind the request")
	}
	answer("close-in-request", err)
	first, fenced := participant(t, endpoint, Live(), "fenced")
	participant(t, endpoint, Live(), "fenced")
	_, err = first.Request(fenced, nil, Everybody, 10*time.Second, none)
	answer("request-fenced", err)
	cursor, err := ParseCursor("1:1:1")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, other := participant(t, endpoint, At(cursor), "misuses-go-elsewhere")
	for {
		if isEnded, err := elsewhere.IsEnded(); isEnded || err != nil {
			break
		}
		elsewhere.Wait(time.Millisecond)
		elsewhere.PollBatch(64)
	}
	_, err = elsewhere.Request(other, nil, Everybody, 10*time.Second, none)
	answer("request-ended", err)
}

func cursorFiles(t *testing.T) {
	path, damaged := filepath.Join(t.TempDir(), "cursor"), filepath.Join(t.TempDir(), "damaged")
	if err := os.WriteFile(damaged, []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := OpenCursorFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenCursorFile(path)
	answer("file-in-use", err)
	_, err = OpenCursorFile(damaged)
	answer("file-damaged", err)
	answer("file-nowhere", file.Save(Cursor{}))
	file.Close()
	answer("file-closed", file.Save(Cursor{}))
}

// merged misuses a merged subscriber of the file of one cluster, which is a set of one stream.
func merged(t *testing.T) {
	_, err := ConnectMergedSubscriber("", "here", time.Second)
	answer("merged-start", err)
	_, err = ConnectMergedSubscriber("", "live", -time.Millisecond)
	answer("merged-negative-connect", err)
	merged, err := ConnectMergedSubscriber("", "beginning", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	answer("merged-negative-wait", merged.Wait(-time.Millisecond))
	_, err = merged.PollBatch(-1)
	answer("merged-negative-limit", err)
	answer("merged-two-threads", beside(merged.Wait, func() error {
		_, err := merged.NextNumber()
		return err
	}))
	merged.Close()
	_, err = merged.PollBatch(64)
	answer("merged-closed", err)
	_, name := merged.StreamName(1)
	if name == nil || name.Error() != err.Error() {
		t.Fatal(name)
	}
	merged.Close()
	answer("merged-close-twice", nil)
}

func connect(endpoint *Endpoint, seq uint64) error {
	subscriber, err := ConnectSubscriber(endpoint, From(seq), Committed)
	if err == nil {
		subscriber.Close()
	}
	return err
}

// twoThreads calls the handle while another goroutine is in a call with it.
func twoThreads(publisher *Publisher) error {
	return beside(publisher.Wait, func() error {
		_, err := publisher.IsDrained()
		return err
	})
}

// beside makes a call while another goroutine waits with the same handle.
func beside(wait func(time.Duration) error, ask func() error) error {
	isOver, done := int32(0), make(chan struct{})
	go func() {
		defer close(done)
		for atomic.LoadInt32(&isOver) == 0 {
			wait(200 * time.Millisecond)
		}
	}()
	var err error
	for tries := 0; tries < 1000 && err == nil; tries++ {
		time.Sleep(time.Millisecond)
		err = ask()
	}
	atomic.StoreInt32(&isOver, 1)
	<-done
	return err
}
