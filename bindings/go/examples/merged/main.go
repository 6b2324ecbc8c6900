// Command merged reads the streams of a set in their one order:
//
//	LOCKSTEP_CONFIG=… merged [START [COUNT]]
//
// START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after COUNT
// messages.
package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	lockstep "github.com/lockstep-sequencer/lockstep/bindings/go"
)

func run(start string, left int) error {
	merged, err := lockstep.ConnectMergedSubscriber("", start, 10*time.Second)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer merged.Close()
	for left > 0 {
		limit := 64
		if left < limit {
			limit = left
		}
		batch, err := merged.PollBatch(limit)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for index := range batch.Events {
			event, place := &batch.Events[index], batch.Places[index]
			if event.Kind != lockstep.KindMessage {
				continue
			}
			stream, err := merged.StreamName(place.Stream)
			if err != nil {
				return err
			}
			fmt.Printf("%d\t%s\t%d\t%d:%d\t%d\t%s\n", place.Number, stream, event.Seq, event.Publisher, event.PublisherSeq,
				event.Destination, batch.Payload(event))
			left--
		}
		if isEnded, err := merged.IsEnded(); isEnded || err != nil {
			return err
		}
		if batch.Work == 0 {
			if err := merged.Wait(10 * time.Millisecond); err != nil {
				return fmt.Errorf("wait: %w", err)
			}
		}
	}
	cursor, err := merged.Cursor()
	if err != nil {
		return fmt.Errorf("ask for the cursor: %w", err)
	}
	fmt.Println("resume with", cursor)
	return nil
}

func main() {
	start, left := "live", math.MaxInt
	if len(os.Args) > 1 {
		start = os.Args[1]
	}
	if len(os.Args) > 2 {
		left, _ = strconv.Atoi(os.Args[2])
	}
	if err := run(start, left); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
