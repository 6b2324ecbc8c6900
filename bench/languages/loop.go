// The loop of `lockstep-bench languages` in Go:
//
//	loop closed WARM_UP_MS MS        prints the nanoseconds of each message, a line each
//	loop read batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"

	lockstep "github.com/lockstep-sequencer/lockstep/bindings/go"
)

const (
	messageLen = 64
	limit      = 256
	batchLimit = 4096
	pause      = time.Millisecond
	patience   = 10 * time.Second
	// Polls that find the place of a stream that begins now.
	begin = 200 * time.Millisecond
)

func runClosed(endpoint *lockstep.Endpoint, warmUp, length time.Duration) error {
	participant, err := lockstep.ConnectParticipant(endpoint, lockstep.Live(), lockstep.Committed)
	if err != nil {
		return err
	}
	defer participant.Close()
	id, err := participant.Open("loop", patience)
	if err != nil {
		return err
	}
	for from := time.Now(); time.Since(from) < begin; {
		if _, err := participant.PollBatch(limit); err != nil {
			return err
		}
		if err := participant.Wait(pause); err != nil {
			return err
		}
	}
	message := make([]byte, messageLen)
	samples := make([]time.Duration, 0, 1<<20)
	began := time.Now()
	for {
		sent := time.Now()
		number, err := participant.Publish(id, message, lockstep.Everybody)
		if err != nil {
			return err
		}
		for isDelivered := false; !isDelivered; {
			batch, err := participant.PollBatch(limit)
			if err != nil {
				return err
			}
			for index := range batch.Events {
				event := &batch.Events[index]
				isOwn := event.Kind == lockstep.KindMessage && event.Publisher == id
				isDelivered = isDelivered || (isOwn && event.PublisherSeq == number)
			}
			if batch.Work == 0 {
				if err := participant.Wait(pause); err != nil {
					return err
				}
			}
		}
		came := time.Now()
		if came.Sub(began) >= warmUp+length {
			break
		}
		if came.Sub(began) >= warmUp {
			samples = append(samples, came.Sub(sent))
		}
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, sample := range samples {
		fmt.Fprintln(out, sample.Nanoseconds())
	}
	return nil
}

func runRead(endpoint *lockstep.Endpoint, warmUp, length time.Duration) error {
	subscriber, err := lockstep.ConnectSubscriber(endpoint, lockstep.Live(), lockstep.Committed)
	if err != nil {
		return err
	}
	defer subscriber.Close()
	var messages, bytes, messagesBefore, bytesBefore int
	began := time.Now()
	var from time.Time
	at := began
	for at.Sub(began) < warmUp+length {
		batch, err := subscriber.PollBatch(batchLimit)
		if err != nil {
			return err
		}
		for index := range batch.Events {
			if event := &batch.Events[index]; event.Kind == lockstep.KindMessage {
				messages++
				bytes += len(batch.Payload(event))
			}
		}
		at = time.Now()
		if from.IsZero() && at.Sub(began) >= warmUp {
			from, messagesBefore, bytesBefore = at, messages, bytes
		}
		if batch.Work == 0 {
			if err := subscriber.Wait(pause); err != nil {
				return err
			}
		}
	}
	fmt.Println(messages-messagesBefore, bytes-bytesBefore, at.Sub(from).Nanoseconds())
	return nil
}

func run(words []string) error {
	isClosed := len(words) == 3 && words[0] == "closed"
	isRead := len(words) == 4 && words[0] == "read" && words[1] == "batch"
	if !isClosed && !isRead {
		return fmt.Errorf("loop closed WARM_UP_MS MS, or loop read batch WARM_UP_MS MS")
	}
	var times [2]time.Duration
	for index, word := range words[len(words)-2:] {
		ms, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		times[index] = time.Duration(ms) * time.Millisecond
	}
	endpoint, err := lockstep.EndpointFromEnv()
	if err != nil {
		return err
	}
	defer endpoint.Close()
	if isClosed {
		return runClosed(endpoint, times[0], times[1])
	}
	return runRead(endpoint, times[0], times[1])
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loop.go:", err)
		os.Exit(1)
	}
}
