/* Holds the promises of lockstep.h; tests/foreign/bindings.rs runs it, under AddressSanitizer.
 *
 *     check refusals                what is wrong is refused by its code and a text; needs no cluster
 *     check load NAME TAKEOVERS     publishes until so many were seen, and reads it back: each message has one
 *                                   outcome, in order
 *     check stamped NAME TAKEOVERS  the same by a `stamped` subscription in batches: what is retracted is delivered anew
 *     check full NAME               backpressure is reported, and ends
 *     check fork NAME               a child of a fork is refused, and harms its parent nothing
 *     check callbacks NAME          a callback publishes and closes; all else, and another thread, is refused
 *     check outcomes NAME           what became of the messages is counted; a number that nobody reaches is refused
 *     check flat NAME MESSAGES      passes so many messages twice; the second time nothing more is allocated
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <inttypes.h>
#include <lockstep.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* Of AddressSanitizer: the bytes that are allocated now. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

/* Without it, under valgrind, memory is looked at from outside. */
static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

static bool error_says(const char *words) { return strstr(lockstep_error(), words) != NULL; }

static void cursor_files(void) {
    lockstep_cursor_file *file = (lockstep_cursor_file *)1;
    CHECK(lockstep_cursor_file_open("/nowhere/cursor", &file) == LOCKSTEP_STATUS_IO);
    CHECK(file == NULL && error_says("/nowhere/cursor"));
    CHECK(lockstep_cursor_file_open(NULL, &file) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_cursor_file_open("cursor", NULL) == LOCKSTEP_STATUS_ARGUMENT);
    char folder[] = "/tmp/lockstep-check-XXXXXX", path[sizeof folder + 8], lock[sizeof path + 8];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/cursor", folder);
    snprintf(lock, sizeof lock, "%s.lock", path);
    CHECK(lockstep_cursor_file_open(path, &file) == LOCKSTEP_STATUS_OK);
    lockstep_cursor saved = {.history = 0x1f, .seq = 7, .chain = 0x2a}, cursor = {0};
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_FROM, .seq = 1};
    CHECK(lockstep_cursor_file_cursor(file, &cursor) == 0);
    CHECK(lockstep_cursor_file_start_or(file, &start, &start) == LOCKSTEP_STATUS_OK);
    CHECK(start.kind == LOCKSTEP_START_KIND_FROM && start.seq == 1);
    CHECK(lockstep_cursor_file_save(file, NULL) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_cursor_file_save(file, &saved) == LOCKSTEP_STATUS_OK);
    lockstep_cursor_file_close(&file);
    CHECK(file == NULL);
    CHECK(lockstep_cursor_file_open(path, &file) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_cursor_file_cursor(file, &cursor) == 1);
    CHECK(memcmp(&cursor, &saved, sizeof cursor) == 0);
    CHECK(lockstep_cursor_file_cursor(file, NULL) == -LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_cursor_file_start_or(file, NULL, &start) == LOCKSTEP_STATUS_OK);
    CHECK(start.kind == LOCKSTEP_START_KIND_CURSOR && memcmp(&start.cursor, &saved, sizeof saved) == 0);
    start.kind = 99;
    CHECK(lockstep_cursor_file_start_or(file, &start, &start) == LOCKSTEP_STATUS_ARGUMENT);
    lockstep_cursor_file_close(&file);
    lockstep_cursor_file_close(&file);
    CHECK(lockstep_cursor_file_cursor(file, &cursor) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(remove(path) == 0 && remove(lock) == 0 && remove(folder) == 0);
}

static void refusals(void) {
    lockstep_endpoint *endpoint = (lockstep_endpoint *)1;
    CHECK(lockstep_endpoint_from_file("/nowhere/lockstep.toml", &endpoint) == LOCKSTEP_STATUS_CONFIG);
    CHECK(endpoint == NULL);
    CHECK(error_says("/nowhere/lockstep.toml"));
    CHECK(lockstep_endpoint_from_file(NULL, &endpoint) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(error_says("path"));
    CHECK(lockstep_endpoint_from_file("/nowhere/lockstep.toml", NULL) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_endpoint_from_file("\xff", &endpoint) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(error_says("UTF-8"));
    CHECK(lockstep_endpoint_cluster(NULL) == 0);

    /* A handle that was closed, or never connected. */
    lockstep_publisher *publisher = (lockstep_publisher *)1;
    CHECK(lockstep_publisher_connect(NULL, &publisher) == LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(publisher == NULL);
    uint32_t id = 0;
    uint64_t number = 0;
    uint8_t *memory = NULL;
    lockstep_batch batch;
    CHECK(lockstep_publisher_open(NULL, "orders", 0, &id) == LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_publisher_publish(NULL, 1, NULL, 0, 0, &number) == LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_publisher_claim(NULL, 1, &memory, 8, 0, &number) == LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_publisher_poll(NULL, 64, NULL, NULL) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_publisher_poll_batch(NULL, 64, &batch) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_publisher_wait(NULL, 0) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_subscriber_poll(NULL, 64, NULL, NULL) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(lockstep_participant_poll(NULL, 64, NULL, NULL) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    CHECK(error_says("closed"));
    lockstep_publisher_close(&publisher);
    lockstep_publisher_close(NULL);
    lockstep_subscriber *subscriber = NULL;
    lockstep_subscriber_close(&subscriber);
    lockstep_participant *participant = NULL;
    lockstep_participant_close(&participant);
    lockstep_endpoint_close(&endpoint);
    lockstep_endpoint_close(&endpoint);

    lockstep_cursor cursor;
    char text[LOCKSTEP_CURSOR_TEXT];
    CHECK(lockstep_cursor_parse("here", &cursor) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(error_says("'here' is no cursor"));
    CHECK(lockstep_cursor_parse("1f:7:2a", &cursor) == LOCKSTEP_STATUS_OK);
    CHECK(cursor.history == 0x1f && cursor.seq == 7 && cursor.chain == 0x2a);
    CHECK(lockstep_cursor_print(&cursor, text) == LOCKSTEP_STATUS_OK);
    lockstep_cursor again;
    CHECK(lockstep_cursor_parse(text, &again) == LOCKSTEP_STATUS_OK);
    CHECK(memcmp(&cursor, &again, sizeof cursor) == 0);
    CHECK(lockstep_cursor_print(NULL, text) == LOCKSTEP_STATUS_ARGUMENT);
    cursor_files();
}

/* Refusals of a handle that is connected. */
static void wrong_uses(lockstep_endpoint *endpoint, lockstep_participant *participant, uint32_t id) {
    uint64_t number = 0;
    uint8_t *memory = NULL;
    int64_t longest = lockstep_participant_message_len_max(participant, LOCKSTEP_EVERYBODY);
    int64_t longest_claim = lockstep_participant_claim_len_max(participant);
    CHECK(longest > 0 && longest_claim > 0 && longest_claim <= longest);
    uint8_t *long_message = calloc(1, (size_t)longest + 1);
    CHECK(long_message != NULL);
    CHECK(lockstep_participant_publish(participant, id, long_message, (size_t)longest + 1, 0, &number) ==
          LOCKSTEP_STATUS_TOO_LONG);
    free(long_message);
    CHECK(lockstep_participant_claim(participant, id, &memory, (size_t)longest_claim + 1, 0, &number) ==
          LOCKSTEP_STATUS_TOO_LONG);
    CHECK(memory == NULL);
    CHECK(lockstep_participant_publish(participant, id + 1, NULL, 0, 0, &number) == LOCKSTEP_STATUS_NOT_OPEN);
    CHECK(lockstep_participant_publish(participant, id, NULL, 7, 0, &number) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_participant_start_day(participant, id, "", &number) == LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_participant_open(participant, "", 0, NULL, NULL, &id) == LOCKSTEP_STATUS_NAME);
    lockstep_start start = {.kind = 9};
    lockstep_subscriber *subscriber = NULL;
    CHECK(lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &subscriber) ==
          LOCKSTEP_STATUS_ARGUMENT);
    CHECK(lockstep_subscriber_connect(endpoint, NULL, 7, &subscriber) == LOCKSTEP_STATUS_ARGUMENT);
    start = (lockstep_start){.kind = LOCKSTEP_START_KIND_FROM};
    CHECK(lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_STAMPED, &subscriber) ==
          LOCKSTEP_STATUS_ARGUMENT);
    CHECK(subscriber == NULL);
}

struct load {
    uint32_t id;
    uint64_t first;          /* number of our first message */
    uint64_t committed_next; /* number of the next outcome */
    uint64_t delivered_next; /* number of the next of our messages in the stream */
    uint64_t last_seq;
    uint64_t epochs;
    bool is_lost;
};

static void on_outcome(struct load *load, const lockstep_event *event) {
    if (event->publisher != load->id) return;
    CHECK(event->publisher_seq == load->committed_next);
    load->committed_next++;
}

static void on_message(struct load *load, const lockstep_event *event, const uint8_t *payload) {
    CHECK(event->seq > load->last_seq);
    load->last_seq = event->seq;
    if (event->publisher != load->id || event->publisher_seq < load->first) return;
    CHECK(event->publisher_seq == load->delivered_next);
    uint64_t content = 0;
    CHECK(event->payload_len == sizeof content);
    memcpy(&content, payload, sizeof content);
    CHECK(content == event->publisher_seq);
    load->delivered_next++;
}

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct load *load = context;
    switch (event->kind) {
    case LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED: on_outcome(load, event); break;
    case LOCKSTEP_EVENT_KIND_MESSAGE: on_message(load, event, payload); break;
    case LOCKSTEP_EVENT_KIND_EPOCH: load->epochs++; break;
    case LOCKSTEP_EVENT_KIND_OUTCOMES_UNKNOWN:
    case LOCKSTEP_EVENT_KIND_ABANDONED:
    case LOCKSTEP_EVENT_KIND_REFUSED:
    case LOCKSTEP_EVENT_KIND_DIVERGED: load->is_lost = true; break;
    default: break;
    }
    CHECK(!load->is_lost);
    return true;
}

static lockstep_participant *connected(lockstep_endpoint *endpoint, const char *name, struct load *load) {
    lockstep_participant *participant = NULL;
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_LIVE};
    CHECK(lockstep_participant_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &participant) ==
          LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_begin(participant, 10 * SECOND, on_event, load) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_open(participant, name, 10 * SECOND, on_event, load, &load->id) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_fd(participant) >= 0);
    CHECK(lockstep_participant_due(participant) >= 0);
    return participant;
}

/* Publishes the number that the message will have: copied, or written in place. Returns the status. */
static lockstep_status publish_next(lockstep_participant *participant, struct load *load, uint64_t number) {
    uint64_t given = 0;
    lockstep_status status;
    if (number % 2 == 0) {
        status = lockstep_participant_publish(participant, load->id, (const uint8_t *)&number, sizeof number,
                                              LOCKSTEP_EVERYBODY, &given);
    } else {
        uint8_t *memory = NULL;
        status = lockstep_participant_claim(participant, load->id, &memory, sizeof number, LOCKSTEP_EVERYBODY, &given);
        if (status == LOCKSTEP_STATUS_OK) memcpy(memory, &number, sizeof number);
    }
    CHECK(status == LOCKSTEP_STATUS_BACKPRESSURE || (status == LOCKSTEP_STATUS_OK && given == number));
    return status;
}

static void turn(lockstep_participant *participant, struct load *load) {
    int64_t work = lockstep_participant_poll(participant, 256, on_event, load);
    CHECK(work >= 0);
    if (work == 0) CHECK(lockstep_participant_wait(participant, SECOND / 1000) >= 0);
}

static void load(lockstep_endpoint *endpoint, const char *name, uint64_t takeovers) {
    struct load load = {.first = 1, .committed_next = 1, .delivered_next = 1};
    lockstep_participant *participant = connected(endpoint, name, &load);
    wrong_uses(endpoint, participant, load.id);
    uint64_t next = 1;
    while (load.epochs < takeovers || load.committed_next < next || load.delivered_next < next) {
        uint64_t before = next;
        while (load.epochs < takeovers && next < before + 64 && publish_next(participant, &load, next) == LOCKSTEP_STATUS_OK)
            next++;
        turn(participant, &load);
    }
    CHECK(lockstep_participant_is_drained(participant) == 1);
    CHECK(lockstep_participant_is_ended(participant) == 0);
    lockstep_cursor cursor;
    CHECK(lockstep_participant_cursor(participant, &cursor) == 1);
    CHECK(cursor.seq == (uint64_t)lockstep_participant_deliver_next(participant));
    lockstep_participant_close(&participant);
    CHECK(participant == NULL);
    CHECK(lockstep_participant_flush(participant) == -LOCKSTEP_STATUS_CLOSED_HANDLE);
    printf("%" PRIu64 " messages, each with one outcome, %" PRIu64 " takeovers\n", next - 1, load.epochs);
}

/* Whether a batch has nothing; what it has none of has no address. */
static bool is_empty(const lockstep_batch *batch) {
    CHECK((batch->events == NULL) == (batch->len == 0));
    CHECK((batch->bytes == NULL) == (batch->bytes_len == 0));
    return batch->len == 0;
}

static void stamped(lockstep_endpoint *endpoint, const char *name, uint64_t takeovers) {
    /* What is delivered, by seq: a retract takes back its end. */
    size_t depth = 0, room = 32 * 1024 * 1024;
    struct { uint64_t seq, number; } *stack = malloc(room * sizeof *stack);
    CHECK(stack != NULL);
    uint64_t retracts = 0, epochs = 0, next = 1, last = 0, empty = 0;
    lockstep_publisher *publisher = NULL;
    lockstep_subscriber *subscriber = NULL;
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_FROM, .seq = 1};
    CHECK(lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_STAMPED, &subscriber) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_connect(endpoint, &publisher) == LOCKSTEP_STATUS_OK);
    uint32_t id = 0;
    CHECK(lockstep_publisher_open(publisher, name, 10 * SECOND, &id) == LOCKSTEP_STATUS_OK);
    while (epochs < takeovers || last + 1 < next || lockstep_publisher_is_drained(publisher) != 1) {
        for (int count = 0; count < 16 && epochs < takeovers && next < room; count++) {
            lockstep_status status =
                lockstep_publisher_publish(publisher, id, (const uint8_t *)&next, sizeof next, 0, NULL);
            CHECK(status == LOCKSTEP_STATUS_OK || status == LOCKSTEP_STATUS_BACKPRESSURE);
            if (status != LOCKSTEP_STATUS_OK) break;
            next++;
        }
        lockstep_batch batch;
        CHECK(lockstep_publisher_poll_batch(publisher, 64, &batch) >= 0);
        empty += is_empty(&batch);
        int64_t work = lockstep_subscriber_poll_batch(subscriber, 256, &batch);
        CHECK(work >= 0);
        empty += is_empty(&batch);
        for (size_t at = 0; at < batch.len; at++) {
            const lockstep_event *event = &batch.events[at];
            CHECK((size_t)event->payload_at + event->payload_len <= batch.bytes_len);
            if (event->kind == LOCKSTEP_EVENT_KIND_EPOCH) {
                epochs++;
            } else if (event->kind == LOCKSTEP_EVENT_KIND_RETRACT) {
                retracts++;
                while (depth > 0 && stack[depth - 1].seq >= event->seq) depth--;
                last = depth > 0 ? stack[depth - 1].number : 0;
            } else if (event->kind == LOCKSTEP_EVENT_KIND_MESSAGE && event->publisher == id) {
                uint64_t number = 0;
                CHECK(event->payload_len == sizeof number);
                memcpy(&number, batch.bytes + event->payload_at, sizeof number);
                CHECK(number == event->publisher_seq && number == last + 1);
                CHECK(depth == 0 || event->seq > stack[depth - 1].seq);
                CHECK(depth < room);
                stack[depth].seq = event->seq;
                stack[depth++].number = last = number;
            }
        }
        if (work == 0) CHECK(lockstep_publisher_wait(publisher, SECOND / 1000) >= 0);
    }
    CHECK(depth + 1 == next);
    CHECK(empty > 0);
    lockstep_publisher_close(&publisher);
    lockstep_subscriber_close(&subscriber);
    free(stack);
    printf("%" PRIu64 " messages, %" PRIu64 " retracts, %" PRIu64 " takeovers\n", next - 1, retracts, epochs);
}

static void full(lockstep_endpoint *endpoint, const char *name) {
    struct load load = {.first = 1, .committed_next = 1, .delivered_next = 1};
    lockstep_participant *participant = connected(endpoint, name, &load);
    uint64_t next = 1;
    while (publish_next(participant, &load, next) == LOCKSTEP_STATUS_OK) next++;
    CHECK(error_says("window") || error_says("poll"));
    CHECK(lockstep_participant_is_drained(participant) == 0);
    while (load.committed_next < next) turn(participant, &load);
    CHECK(publish_next(participant, &load, next) == LOCKSTEP_STATUS_OK);
    while (load.committed_next <= next) turn(participant, &load);
    lockstep_participant_close(&participant);
    printf("full with %" PRIu64 " messages\n", next - 1);
}

/* Publishes so many, and polls until each is committed and delivered: by events and by batches in turn. */
static uint64_t pass(lockstep_participant *participant, struct load *load, uint64_t next, uint64_t messages) {
    uint64_t end = next + messages;
    for (uint64_t turns = 0; next < end || load->committed_next < end || load->delivered_next < end; turns++) {
        uint64_t most = end - next < 256 ? end : next + 256;
        while (next < most && publish_next(participant, load, next) == LOCKSTEP_STATUS_OK) next++;
        if (turns % 2 == 0) {
            turn(participant, load);
            continue;
        }
        lockstep_batch batch;
        CHECK(lockstep_participant_poll_batch(participant, 256, &batch) >= 0);
        for (size_t at = 0; at < batch.len; at++)
            on_event(load, &batch.events[at], batch.bytes + batch.events[at].payload_at);
    }
    return next;
}

static void flat(lockstep_endpoint *endpoint, const char *name, uint64_t messages) {
    struct load load = {.first = 1, .committed_next = 1, .delivered_next = 1};
    lockstep_participant *participant = connected(endpoint, name, &load);
    uint64_t next = pass(participant, &load, 1, messages);
    size_t before = allocated();
    next = pass(participant, &load, next, messages);
    size_t after = allocated();
    lockstep_participant_close(&participant);
    printf("%" PRIu64 " messages, then as many: %zu bytes allocated, then %zu\n", next / 2, before, after);
    CHECK(after <= before + 4096);
}

/* Whether this result, a status or a negative one, says that the handle is another process's. */
static bool is_elsewhere(int64_t result) {
    return result == LOCKSTEP_STATUS_OTHER_PROCESS || result == -LOCKSTEP_STATUS_OTHER_PROCESS;
}

/* What a child may do with the handles of its parent: nothing, but close them. */
static void in_child(lockstep_endpoint *endpoint, lockstep_publisher *publisher, lockstep_subscriber *subscriber,
                     lockstep_participant *participant, uint32_t id) {
    uint64_t number = 0;
    uint8_t *memory = NULL;
    lockstep_batch batch;
    lockstep_cursor cursor;
    CHECK(is_elsewhere(lockstep_publisher_open(publisher, "other", 0, &id)));
    CHECK(is_elsewhere(lockstep_publisher_publish(publisher, id, NULL, 0, 0, &number)));
    CHECK(is_elsewhere(lockstep_publisher_publish_at(publisher, id, 1, NULL, 0, 0)));
    CHECK(is_elsewhere(lockstep_publisher_claim(publisher, id, &memory, 8, 0, &number)));
    CHECK(is_elsewhere(lockstep_publisher_close_name(publisher, id, NULL, 0)));
    CHECK(is_elsewhere(lockstep_publisher_flush(publisher)));
    CHECK(is_elsewhere(lockstep_publisher_poll(publisher, 64, NULL, NULL)));
    CHECK(is_elsewhere(lockstep_publisher_poll_batch(publisher, 64, &batch)));
    CHECK(is_elsewhere(lockstep_publisher_wait(publisher, 0)));
    CHECK(is_elsewhere(lockstep_publisher_fd(publisher)));
    CHECK(is_elsewhere(lockstep_publisher_due(publisher)));
    CHECK(is_elsewhere(lockstep_publisher_is_drained(publisher)));
    CHECK(is_elsewhere(lockstep_subscriber_begin(subscriber, 0, NULL, NULL)));
    CHECK(is_elsewhere(lockstep_subscriber_poll(subscriber, 64, NULL, NULL)));
    CHECK(is_elsewhere(lockstep_subscriber_poll_batch(subscriber, 64, &batch)));
    CHECK(is_elsewhere(lockstep_subscriber_cursor(subscriber, &cursor)));
    CHECK(is_elsewhere(lockstep_subscriber_deliver_next(subscriber)));
    CHECK(is_elsewhere(lockstep_participant_publish(participant, id, NULL, 0, 0, &number)));
    CHECK(is_elsewhere(lockstep_participant_poll(participant, 64, NULL, NULL)));
    CHECK(is_elsewhere(lockstep_participant_poll_batch(participant, 64, &batch)));
    CHECK(error_says("fork"));
    lockstep_publisher_close(&publisher);
    lockstep_subscriber_close(&subscriber);
    lockstep_participant_close(&participant);
    CHECK(publisher == NULL && subscriber == NULL && participant == NULL);
    /* A handle of its own works, by the endpoint that it has inherited. */
    CHECK(lockstep_publisher_connect(endpoint, &publisher) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_poll(publisher, 64, NULL, NULL) >= 0);
    lockstep_publisher_close(&publisher);
}

/* Outcomes of a parent: as many as its messages, each committed once. */
static bool on_parents(void *context, const lockstep_event *event, const uint8_t *payload) {
    (void)payload;
    CHECK(event->kind != LOCKSTEP_EVENT_KIND_OUTCOME_DIVERGED);
    *(uint64_t *)context += event->kind == LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED;
    return true;
}

static void forks(lockstep_endpoint *endpoint, const char *name) {
    lockstep_publisher *publisher = NULL;
    lockstep_subscriber *subscriber = NULL;
    lockstep_participant *participant = NULL;
    CHECK(lockstep_publisher_connect(endpoint, &publisher) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_subscriber_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &subscriber) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &participant) == LOCKSTEP_STATUS_OK);
    uint32_t id = 0;
    CHECK(lockstep_publisher_open(publisher, name, 10 * SECOND, &id) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_publish(publisher, id, NULL, 0, 0, NULL) == LOCKSTEP_STATUS_OK);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_child(endpoint, publisher, subscriber, participant, id);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (int count = 0; count < 20; count++)
        CHECK(lockstep_publisher_publish(publisher, id, NULL, 0, 0, NULL) == LOCKSTEP_STATUS_OK);
    uint64_t committed = 0;
    while (lockstep_publisher_is_drained(publisher) != 1) {
        CHECK(lockstep_publisher_poll(publisher, 64, on_parents, &committed) >= 0);
        CHECK(lockstep_publisher_wait(publisher, SECOND / 1000) >= 0);
    }
    CHECK(committed == 21);
    lockstep_publisher_close(&publisher);
    lockstep_subscriber_close(&subscriber);
    lockstep_participant_close(&participant);
    printf("%" PRIu64 " outcomes beside a child\n", committed);
}

/* A callback's handle, and what it saw. */
struct caller {
    lockstep_participant *participant;
    lockstep_publisher *publisher;
    uint32_t id;
    uint64_t answered; /* messages that were answered in the callback that delivered them */
    uint64_t committed;
    bool closes;
};

static bool is_in_use(int64_t result, const char *words) {
    return (result == LOCKSTEP_STATUS_IN_USE || result == -LOCKSTEP_STATUS_IN_USE) && error_says(words);
}

static void *from_another_thread(void *context) {
    struct caller *caller = context;
    const char *words = "another thread";
    CHECK(is_in_use(lockstep_participant_publish(caller->participant, caller->id, NULL, 0, 0, NULL), words));
    CHECK(is_in_use(lockstep_participant_poll(caller->participant, 64, NULL, NULL), words));
    CHECK(is_in_use(lockstep_participant_is_drained(caller->participant), words));
    return NULL;
}

static bool answers(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct caller *caller = context;
    caller->committed += event->kind == LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED;
    if (event->kind != LOCKSTEP_EVENT_KIND_MESSAGE || event->payload_len != 3 || memcmp(payload, "ask", 3) != 0)
        return true;
    const char *words = "a callback calls back";
    lockstep_batch batch;
    lockstep_cursor cursor;
    uint32_t id;
    CHECK(is_in_use(lockstep_participant_poll(caller->participant, 64, answers, caller), words));
    CHECK(is_in_use(lockstep_participant_poll_batch(caller->participant, 64, &batch), words));
    CHECK(is_in_use(lockstep_participant_wait(caller->participant, 0), words));
    CHECK(is_in_use(lockstep_participant_cursor(caller->participant, &cursor), words));
    CHECK(is_in_use(lockstep_participant_open(caller->participant, "other", 0, NULL, NULL, &id), words));
    pthread_t other;
    CHECK(pthread_create(&other, NULL, from_another_thread, caller) == 0 && pthread_join(other, NULL) == 0);
    uint64_t number = 0;
    uint8_t *memory = NULL;
    lockstep_outcomes before, after;
    CHECK(lockstep_participant_outcomes(caller->participant, &before) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_publish(caller->participant, caller->id, (const uint8_t *)"answer", 6, 0, &number) ==
          LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_claim(caller->participant, caller->id, &memory, 2, 0, &number) == LOCKSTEP_STATUS_OK);
    memcpy(memory, "ok", 2);
    CHECK(lockstep_participant_flush(caller->participant) == 0);
    CHECK(lockstep_participant_outcomes(caller->participant, &after) == LOCKSTEP_STATUS_OK);
    CHECK(after.open == before.open + 2);
    caller->answered++;
    if (caller->closes) {
        lockstep_participant_close(&caller->participant);
        CHECK(caller->participant == NULL);
    }
    return true;
}

/* An outcome of a publisher publishes the next message, and closes the handle behind the tenth. */
static bool goes_on(void *context, const lockstep_event *event, const uint8_t *payload) {
    (void)payload;
    struct caller *caller = context;
    if (event->kind != LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED || caller->publisher == NULL) return true;
    caller->committed++;
    CHECK(is_in_use(lockstep_publisher_poll(caller->publisher, 64, NULL, NULL), "a callback calls back"));
    CHECK(lockstep_publisher_publish(caller->publisher, caller->id, NULL, 0, 0, NULL) == LOCKSTEP_STATUS_OK);
    if (caller->committed == 10) lockstep_publisher_close(&caller->publisher);
    return true;
}

static bool closes_at_once(void *context, const lockstep_event *event, const uint8_t *payload) {
    (void)event;
    (void)payload;
    lockstep_subscriber **subscriber = context;
    CHECK(*subscriber == NULL || is_in_use(lockstep_subscriber_poll(*subscriber, 64, NULL, NULL), "a callback"));
    lockstep_subscriber_close(subscriber);
    return true;
}

static void callbacks(lockstep_endpoint *endpoint, const char *name) {
    struct load load = {.first = 1, .committed_next = 1, .delivered_next = 1};
    struct caller caller = {.participant = connected(endpoint, name, &load)};
    caller.id = load.id;
    for (int asks = 1; asks <= 2; asks++) {
        caller.closes = asks == 2;
        CHECK(lockstep_participant_publish(caller.participant, caller.id, (const uint8_t *)"ask", 3, 0, NULL) ==
              LOCKSTEP_STATUS_OK);
        while (caller.participant != NULL && (caller.answered < (uint64_t)asks || (asks == 1 && caller.committed < 3)))
            CHECK(lockstep_participant_poll(caller.participant, 64, answers, &caller) >= 0);
    }
    CHECK(caller.answered == 2 && caller.participant == NULL);
    /* What the last callback published before it closed has left, or not: the handle is gone. */
    struct caller publishes = {.closes = false};
    CHECK(lockstep_publisher_connect(endpoint, &publishes.publisher) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_open(publishes.publisher, name, 10 * SECOND, &publishes.id) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_publish(publishes.publisher, publishes.id, NULL, 0, 0, NULL) == LOCKSTEP_STATUS_OK);
    while (publishes.publisher != NULL)
        CHECK(lockstep_publisher_poll(publishes.publisher, 64, goes_on, &publishes) >= 0);
    CHECK(publishes.committed == 10);
    lockstep_subscriber *subscriber = NULL;
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_FROM, .seq = 1};
    CHECK(lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &subscriber) == LOCKSTEP_STATUS_OK);
    while (subscriber != NULL) CHECK(lockstep_subscriber_poll(subscriber, 64, closes_at_once, &subscriber) >= 0);
    printf("%" PRIu64 " answers in callbacks\n", caller.answered);
}

static void outcomes(lockstep_endpoint *endpoint, const char *name) {
    lockstep_publisher *first = NULL, *second = NULL;
    lockstep_outcomes counts;
    uint32_t id = 0;
    CHECK(lockstep_publisher_connect(endpoint, &first) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_connect(endpoint, &second) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_open(first, name, 10 * SECOND, &id) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_publisher_publish_at(first, id, 100, NULL, 0, 0) == LOCKSTEP_STATUS_AHEAD_OF_NUMBER);
    CHECK(error_says("1 is the next one"));
    CHECK(lockstep_publisher_publish_at(first, id, 1, NULL, 0, 0) == LOCKSTEP_STATUS_OK);
    while (lockstep_publisher_is_drained(first) != 1) CHECK(lockstep_publisher_poll(first, 64, NULL, NULL) >= 0);
    CHECK(lockstep_publisher_outcomes(first, &counts) == LOCKSTEP_STATUS_OK && counts.committed == 1 && counts.open == 0);
    CHECK(lockstep_publisher_open(second, name, 10 * SECOND, &id) == LOCKSTEP_STATUS_OK);
    /* The first one does not know yet that it is fenced. */
    CHECK(lockstep_publisher_publish(first, id, NULL, 0, 0, NULL) == LOCKSTEP_STATUS_OK);
    while (lockstep_publisher_is_drained(first) != 1) CHECK(lockstep_publisher_poll(first, 64, NULL, NULL) >= 0);
    CHECK(lockstep_publisher_outcomes(first, &counts) == LOCKSTEP_STATUS_OK);
    CHECK(counts.committed == 1 && counts.fenced == 1 && counts.open == 0);
    CHECK(lockstep_publisher_outcomes(first, NULL) == LOCKSTEP_STATUS_ARGUMENT);
    lockstep_publisher_close(&first);
    lockstep_publisher_close(&second);
    CHECK(lockstep_publisher_outcomes(first, &counts) == LOCKSTEP_STATUS_CLOSED_HANDLE);
}

int main(int count, char **arguments) {
    CHECK(lockstep_abi_version() == LOCKSTEP_ABI_VERSION);
    CHECK(strlen(lockstep_version()) > 0);
    CHECK(sizeof(lockstep_event) == 64);
    CHECK(count >= 2);
    if (strcmp(arguments[1], "refusals") == 0) {
        refusals();
        return 0;
    }
    CHECK(count >= 3);
    lockstep_endpoint *endpoint = NULL;
    CHECK(lockstep_endpoint_from_env(&endpoint) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_endpoint_cluster(endpoint) != 0);
    uint64_t number = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
    if (strcmp(arguments[1], "load") == 0) load(endpoint, arguments[2], number);
    if (strcmp(arguments[1], "stamped") == 0) stamped(endpoint, arguments[2], number);
    if (strcmp(arguments[1], "full") == 0) full(endpoint, arguments[2]);
    if (strcmp(arguments[1], "fork") == 0) forks(endpoint, arguments[2]);
    if (strcmp(arguments[1], "callbacks") == 0) callbacks(endpoint, arguments[2]);
    if (strcmp(arguments[1], "outcomes") == 0) outcomes(endpoint, arguments[2]);
    if (strcmp(arguments[1], "flat") == 0) flat(endpoint, arguments[2], number);
    lockstep_endpoint_close(&endpoint);
    return 0;
}
