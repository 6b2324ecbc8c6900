// Command hello publishes a message, reads the stream until it is delivered, and saves the cursor with which another
// run goes on, in FILE or hello.cursor:
//
//	LOCKSTEP_CONFIG=… hello [FILE]
package main

import (
	"fmt"
	"os"
	"time"

	lockstep "github.com/lockstep-sequencer/lockstep/bindings/go"
)

func run() error {
	path := "hello.cursor"
	if len(os.Args) > 1 {
		path = os.Args[1]
	}
	file, err := lockstep.OpenCursorFile(path)
	if err != nil {
		return fmt.Errorf("open the cursor's file: %w", err)
	}
	defer file.Close()
	start, err := file.StartOr(lockstep.From(1))
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	endpoint, err := lockstep.EndpointFromEnv()
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	defer endpoint.Close()
	publisher, err := lockstep.ConnectPublisher(endpoint)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer publisher.Close()
	subscriber, err := lockstep.ConnectSubscriber(endpoint, start, lockstep.Committed)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer subscriber.Close()
	orders, err := publisher.Open("orders", 5*time.Second)
	if err != nil {
		return fmt.Errorf("open the name: %w", err)
	}
	number, err := publisher.Publish(orders, []byte("buy 100 at 42"), lockstep.Everybody)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	isCommitted, isDelivered := false, false
	for !isCommitted || !isDelivered {
		outcomes, err := publisher.PollBatch(64)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for index := range outcomes.Events {
			if event := &outcomes.Events[index]; event.Kind == lockstep.KindOutcomeCommitted {
				fmt.Printf("committed at seq %d\n", event.Seq)
				isCommitted = true
			}
		}
		batch, err := subscriber.PollBatch(64)
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for index := range batch.Events {
			if event := &batch.Events[index]; event.Kind == lockstep.KindMessage {
				fmt.Printf("%d: %s\n", event.Seq, batch.Payload(event))
				isDelivered = isDelivered || event.Publisher == orders && event.PublisherSeq == number
			}
		}
		if outcomes.Work+batch.Work == 0 {
			if err := publisher.Wait(time.Millisecond); err != nil {
				return fmt.Errorf("wait: %w", err)
			}
		}
	}
	cursor, isBegun, err := subscriber.Cursor()
	if err != nil {
		return fmt.Errorf("ask for the cursor: %w", err)
	}
	if isBegun {
		if err := file.Save(cursor); err != nil {
			return fmt.Errorf("save the cursor: %w", err)
		}
		fmt.Printf("resume with %s\n", cursor)
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
