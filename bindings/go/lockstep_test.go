package lockstep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func refused(t *testing.T, err error, status Status, words string) {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("not refused: %v", err)
	}
	if failure.Status != status || !strings.Contains(failure.Text, words) {
		t.Fatalf("refused by %d and '%s', not by %d and '%s'", failure.Status, failure.Text, status, words)
	}
}

func TestWhatIsWrongIsRefused(t *testing.T) {
	_, err := EndpointFromFile("/nowhere/lockstep.toml")
	refused(t, err, StatusConfig, "/nowhere/lockstep.toml")
	_, err = ParseCursor("here")
	refused(t, err, StatusArgument, "'here' is no cursor")
	cursor, err := ParseCursor("1f:7:2a")
	if err != nil || cursor.cursor.history != 0x1f || cursor.cursor.seq != 7 || cursor.cursor.chain != 0x2a {
		t.Fatal(cursor, err)
	}
	again, err := ParseCursor(cursor.String())
	if err != nil || again != cursor {
		t.Fatal(again, err)
	}
	endpoint, err := EndpointFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ConnectSubscriber(endpoint, From(0), Committed)
	refused(t, err, StatusArgument, "seq 0")
	publisher, err := ConnectPublisher(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	_, err = publisher.Publish(7, nil, Everybody)
	refused(t, err, StatusNotOpen, "")
	publisher.Close()
	publisher.Close()
	_, err = publisher.Publish(7, nil, Everybody)
	refused(t, err, StatusClosedHandle, "closed")
	_, err = publisher.PollBatch(64)
	refused(t, err, StatusClosedHandle, "closed")
	endpoint.Close()
	_, err = ConnectPublisher(endpoint)
	refused(t, err, StatusClosedHandle, "closed")
}

// messages is how many pass: LOCKSTEP_BINDINGS_MESSAGES, or some thousands.
func messages(t *testing.T) uint64 {
	text := os.Getenv("LOCKSTEP_BINDINGS_MESSAGES")
	if text == "" {
		return 10_000
	}
	count, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// residentPages is what the process has in memory.
func residentPages(t *testing.T) int {
	var size, resident int
	statm, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(statm), &size, &resident)
	}
	if err != nil {
		t.Fatal(err)
	}
	return resident
}

func TestEachMessageHasOneOutcomeAndLeavesNothingInMemory(t *testing.T) {
	const slackPages = 4096
	last, residentAtHalf := messages(t), 0
	endpoint, err := EndpointFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	publisher, err := ConnectPublisher(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	subscriber, err := ConnectSubscriber(endpoint, From(1), Committed)
	if err != nil {
		t.Fatal(err)
	}
	defer subscriber.Close()
	id, err := publisher.Open("from-go", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	next, committed, delivered := uint64(1), uint64(0), uint64(0)
	var payload [8]byte
	for committed < last || delivered < last {
		if residentAtHalf == 0 && delivered >= last/2 {
			residentAtHalf = residentPages(t)
		}
		for count := 0; count < 64 && next <= last; count++ {
			binary.LittleEndian.PutUint64(payload[:], next)
			number, err := publisher.Publish(id, payload[:], Everybody)
			if err == ErrBackpressure {
				break
			}
			if err != nil || number != next {
				t.Fatal(number, next, err)
			}
			next++
		}
		outcomes, err := publisher.PollBatch(64)
		if err != nil {
			t.Fatal(err)
		}
		for index := range outcomes.Events {
			if event := &outcomes.Events[index]; event.Kind == KindOutcomeCommitted {
				committed++
				if event.PublisherSeq != committed {
					t.Fatalf("outcome of %d, not of %d", event.PublisherSeq, committed)
				}
			}
		}
		batch, err := subscriber.PollBatch(256)
		if err != nil {
			t.Fatal(err)
		}
		for index := range batch.Events {
			event := &batch.Events[index]
			if event.Kind != KindMessage || event.Publisher != id {
				continue
			}
			delivered++
			content := batch.Payload(event)
			if event.PublisherSeq != delivered || binary.LittleEndian.Uint64(content) != delivered {
				t.Fatalf("message %d with %v, not message %d", event.PublisherSeq, content, delivered)
			}
		}
		if outcomes.Work+batch.Work == 0 {
			if err := publisher.Wait(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	grown := residentPages(t) - residentAtHalf
	t.Logf("%d messages; in their second half the resident memory grew by %d pages", last, grown)
	if grown > slackPages {
		t.Fatal("it grows")
	}
	if isDrained, err := publisher.IsDrained(); err != nil || !isDrained {
		t.Fatal("not drained", err)
	}
	if outcomes, err := publisher.Outcomes(); err != nil || outcomes != (Outcomes{Committed: outcomes.Committed}) {
		t.Fatal("not all are committed", outcomes, err)
	}
	if isEnded, err := subscriber.IsEnded(); err != nil || isEnded {
		t.Fatal("ended", err)
	}
}

// The call and the end of the handle meet at any place. A call that reads what is freed is refused for another reason:
// with MALLOC_PERTURB_ of glibc that memory has other bytes.
func TestAHandleIsClosedBesideACallOfAnotherGoroutine(t *testing.T) {
	endpoint, err := EndpointFromEnv()
	if err != nil {
		t.Fatal(err)
	}
	defer endpoint.Close()
	for times := 0; times < 500; times++ {
		subscriber, err := ConnectSubscriber(endpoint, Live(), Committed)
		if err != nil {
			t.Fatal(err)
		}
		begins, ends := make(chan struct{}), make(chan error)
		go func() {
			close(begins)
			for {
				var failure *Error
				_, err := subscriber.IsEnded()
				if err != nil && !(errors.As(err, &failure) && failure.Status == StatusInUse) {
					ends <- err
					return
				}
			}
		}()
		<-begins
		time.Sleep(time.Duration(times%20) * time.Microsecond)
		subscriber.Close()
		refused(t, <-ends, StatusClosedHandle, "closed")
	}
}
