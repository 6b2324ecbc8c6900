/* The loop of `lockstep-bench languages` in C:
 *
 *     loop closed WARM_UP_MS MS               prints the nanoseconds of each message, a line each
 *     loop read single|batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
 */
#include <inttypes.h>
#include <lockstep.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGE_LEN 64
#define LIMIT 256
#define BATCH_LIMIT 4096
#define WAIT_NS 1000000u
#define OPEN_NS 10000000000u
#define MS 1000000u
#define SAMPLES (1u << 20)

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void check(int64_t result, const char *doing) {
    if (result < 0) {
        fprintf(stderr, "loop.c: %s: %s\n", doing, lockstep_error());
        exit(1);
    }
}

static bool ignore(void *context, const lockstep_event *event, const uint8_t *payload) {
    (void)context, (void)event, (void)payload;
    return true;
}

struct wanted {
    uint32_t publisher;
    uint64_t number;
    bool is_delivered;
};

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct wanted *wanted = context;
    (void)payload;
    if (event->kind == LOCKSTEP_EVENT_KIND_MESSAGE)
        wanted->is_delivered |= event->publisher == wanted->publisher && event->publisher_seq == wanted->number;
    return true;
}

static void run_closed(const lockstep_endpoint *endpoint, uint64_t warm_up, uint64_t time) {
    const lockstep_start start = {.kind = LOCKSTEP_START_KIND_LIVE};
    lockstep_participant *participant = NULL;
    struct wanted wanted = {0};
    check(-(int64_t)lockstep_participant_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &participant), "connect");
    check(-(int64_t)lockstep_participant_begin(participant, OPEN_NS, ignore, NULL), "begin");
    check(-(int64_t)lockstep_participant_open(participant, "loop", OPEN_NS, ignore, NULL, &wanted.publisher), "open");
    uint8_t message[MESSAGE_LEN];
    memset(message, 0x5a, sizeof message);
    uint64_t *samples = calloc(SAMPLES, sizeof *samples);
    size_t count = 0;
    const uint64_t began = now();
    while (samples != NULL) {
        const uint64_t sent = now();
        wanted.is_delivered = false;
        check(-(int64_t)lockstep_participant_publish(participant, wanted.publisher, message, sizeof message,
                                                     LOCKSTEP_EVERYBODY, &wanted.number),
              "publish");
        while (!wanted.is_delivered) {
            const int64_t work = lockstep_participant_poll(participant, LIMIT, on_event, &wanted);
            check(work, "poll");
            if (work == 0) check(lockstep_participant_wait(participant, WAIT_NS), "wait");
        }
        const uint64_t came = now();
        if (came - began >= warm_up + time || count == SAMPLES) break;
        if (came - began >= warm_up) samples[count++] = came - sent;
    }
    for (size_t at = 0; at < count; at++) printf("%" PRIu64 "\n", samples[at]);
    free(samples);
    lockstep_participant_close(&participant);
}

struct received {
    uint64_t messages;
    uint64_t bytes;
};

static bool on_message(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct received *received = context;
    (void)payload;
    if (event->kind == LOCKSTEP_EVENT_KIND_MESSAGE) {
        received->messages++;
        received->bytes += event->payload_len;
    }
    return true;
}

static int64_t poll_batch(lockstep_subscriber *subscriber, struct received *received) {
    lockstep_batch batch;
    const int64_t work = lockstep_subscriber_poll_batch(subscriber, BATCH_LIMIT, &batch);
    check(work, "poll");
    for (size_t at = 0; at < batch.len; at++)
        on_message(received, &batch.events[at], batch.bytes + batch.events[at].payload_at);
    return work;
}

static void run_read(const lockstep_endpoint *endpoint, bool is_batch, uint64_t warm_up, uint64_t time) {
    const lockstep_start start = {.kind = LOCKSTEP_START_KIND_LIVE};
    lockstep_subscriber *subscriber = NULL;
    check(-(int64_t)lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &subscriber), "connect");
    check(-(int64_t)lockstep_subscriber_begin(subscriber, OPEN_NS, ignore, NULL), "begin");
    struct received received = {0}, before = {0};
    const uint64_t began = now();
    uint64_t from = 0, at = began;
    while (at - began < warm_up + time) {
        int64_t work;
        if (is_batch) {
            work = poll_batch(subscriber, &received);
        } else {
            work = lockstep_subscriber_poll(subscriber, LIMIT, on_message, &received);
            check(work, "poll");
        }
        at = now();
        if (from == 0 && at - began >= warm_up) {
            from = at;
            before = received;
        }
        if (work == 0) check(lockstep_subscriber_wait(subscriber, WAIT_NS), "wait");
    }
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", received.messages - before.messages, received.bytes - before.bytes,
           at - from);
    lockstep_subscriber_close(&subscriber);
}

int main(int count, char **arguments) {
    const bool is_closed = count == 4 && strcmp(arguments[1], "closed") == 0;
    const bool is_read = count == 5 && strcmp(arguments[1], "read") == 0;
    if (!is_closed && !is_read) {
        fprintf(stderr, "loop.c: loop closed WARM_UP_MS MS, or loop read single|batch WARM_UP_MS MS\n");
        return 2;
    }
    const uint64_t warm_up = strtoull(arguments[count - 2], NULL, 10) * MS;
    const uint64_t time = strtoull(arguments[count - 1], NULL, 10) * MS;
    lockstep_endpoint *endpoint = NULL;
    check(-(int64_t)lockstep_endpoint_from_env(&endpoint), "read the configuration");
    if (is_closed)
        run_closed(endpoint, warm_up, time);
    else
        run_read(endpoint, strcmp(arguments[2], "batch") == 0, warm_up, time);
    lockstep_endpoint_close(&endpoint);
    return 0;
}
