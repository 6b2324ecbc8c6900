/* Commits each misuse of docs/BINDINGS.md that C can express, beside a cluster, and prints its name and the name of the
 * status that answers it: `fork<TAB>OTHER_PROCESS`. tests/foreign/bindings/misuses.rs compares them with the table.
 *
 *     misuses NAME         NAME is a publisher's name that nobody else opens
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include <lockstep.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define NOBODY UINT32_C(12345)

static void answer(const char *misuse, const char *word) { printf("%s\t%s\n", misuse, word); }

/* The result of a call: a status, or work as a number that is a negative status where it fails. */
static void answered(const char *misuse, int64_t result) {
    answer(misuse, lockstep_status_name(result < 0 ? (int32_t)-result : (int32_t)LOCKSTEP_STATUS_OK));
}

static void refused(const char *misuse, lockstep_status status) { answer(misuse, lockstep_status_name(status)); }

/* A participant with an open name, and what its callback does and sees. */
struct user {
    lockstep_participant *participant;
    uint32_t id;
    bool polls, closes, publishes;
    uint64_t number;       /* of the message that is awaited */
    const char *content;   /* its payload */
    size_t content_len;
    int delivered, committed;
    int64_t nested;
    lockstep_status published;
};

static struct user connected(lockstep_endpoint *endpoint, const char *name) {
    struct user user = {.published = LOCKSTEP_STATUS_OK};
    CHECK(lockstep_participant_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &user.participant) ==
          LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_begin(user.participant, 10 * SECOND, NULL, NULL) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_open(user.participant, name, 10 * SECOND, NULL, NULL, &user.id) == LOCKSTEP_STATUS_OK);
    return user;
}

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct user *user = context;
    if (event->publisher != user->id) return true;
    bool is_message = event->kind == LOCKSTEP_EVENT_KIND_MESSAGE;
    if (is_message && event->publisher_seq == user->number) {
        bool is_it = event->payload_len == user->content_len && memcmp(payload, user->content, user->content_len) == 0;
        user->delivered += is_it ? 1 : 100;
    }
    if (event->kind == LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED && event->publisher_seq == user->number) user->committed++;
    if (!is_message) return true;
    if (user->polls) user->nested = lockstep_participant_poll(user->participant, 1, NULL, NULL);
    if (user->publishes) {
        user->published =
            lockstep_participant_publish(user->participant, user->id, (const uint8_t *)user->content, user->content_len,
                                         0, &user->number);
        user->publishes = false;
    }
    if (user->closes) lockstep_participant_close(&user->participant);
    return true;
}

static void ask(struct user *user) {
    CHECK(lockstep_participant_publish(user->participant, user->id, (const uint8_t *)"ask", 3, 0, &user->number) ==
          LOCKSTEP_STATUS_OK);
    user->content = "ask";
    user->content_len = 3;
    user->delivered = user->committed = 0;
}

static void poll_once(struct user *user) {
    CHECK(lockstep_participant_wait(user->participant, SECOND / 1000) >= 0);
    CHECK(lockstep_participant_poll(user->participant, 64, on_event, user) >= 0);
}

/* Polls until the awaited message is delivered and committed, and some times more. */
static const char *once(struct user *user) {
    while (user->delivered == 0 || user->committed == 0) poll_once(user);
    for (int more = 0; more < 20; more++) poll_once(user);
    return user->delivered == 1 && user->committed == 1 ? lockstep_status_name(LOCKSTEP_STATUS_OK) : "NOT_ONCE";
}

static void in_callbacks(struct user *user) {
    ask(user);
    user->polls = true;
    once(user);
    answered("poll-in-callback", user->nested);
    user->polls = false;
    ask(user);
    user->publishes = true;
    while (user->publishes) poll_once(user);
    user->content = "ask";
    user->delivered = user->committed = 0;
    const char *delivered = once(user);
    answer("publish-in-callback", user->published == LOCKSTEP_STATUS_OK ? delivered : lockstep_status_name(user->published));
}

/* A child of this process; the parent goes on when that has ended, and prints the status with which it has. */
static bool is_child(const char *misuse) {
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) return true;
    int how = 0;
    CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how));
    refused(misuse, (lockstep_status)WEXITSTATUS(how));
    return false;
}

static void fork_with(struct user *user) {
    if (is_child("fork"))
        _exit((int)lockstep_participant_publish(user->participant, user->id, (const uint8_t *)"child", 5, 0, NULL));
}

static void cursor_files(void) {
    char folder[] = "/tmp/lockstep-misuses-XXXXXX", path[sizeof folder + 8], lock[sizeof path + 8];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/cursor", folder);
    snprintf(lock, sizeof lock, "%s.lock", path);
    lockstep_cursor_file *file = NULL, *other = NULL;
    CHECK(lockstep_cursor_file_open(path, &file) == LOCKSTEP_STATUS_OK);
    refused("file-in-use", lockstep_cursor_file_open(path, &other));
    lockstep_cursor cursor = {.history = 1};
    refused("file-nowhere", lockstep_cursor_file_save(file, &cursor));
    cursor.seq = 1;
    if (is_child("file-fork")) _exit((int)lockstep_cursor_file_save(file, &cursor));
    lockstep_cursor_file_close(&file);
    refused("file-closed", lockstep_cursor_file_save(file, &cursor));
    FILE *damaged = fopen(path, "w");
    CHECK(damaged != NULL && fputs("here", damaged) >= 0 && fclose(damaged) == 0);
    refused("file-damaged", lockstep_cursor_file_open(path, &other));
    CHECK(remove(path) == 0 && remove(lock) == 0 && remove(folder) == 0);
}

static atomic_bool is_over;

static void *waits(void *context) {
    const struct user *user = context;
    while (!atomic_load(&is_over)) lockstep_participant_wait(user->participant, SECOND / 5);
    return NULL;
}

static void two_threads(struct user *user) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits, user) == 0);
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t result = 0;
    for (int tries = 0; tries < 1000 && result != -LOCKSTEP_STATUS_IN_USE; tries++) {
        nanosleep(&pause, NULL);
        result = lockstep_participant_deliver_next(user->participant);
    }
    atomic_store(&is_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    answered("two-threads", result);
}

static void arguments(lockstep_endpoint *endpoint, struct user *user) {
    refused("unknown-id", lockstep_participant_publish(user->participant, NOBODY, NULL, 0, 0, NULL));
    int64_t longest = lockstep_participant_message_len_max(user->participant, LOCKSTEP_EVERYBODY);
    CHECK(longest > 0);
    uint8_t *payload = calloc(1, (size_t)longest + 1);
    CHECK(payload != NULL);
    refused("too-long",
            lockstep_participant_publish(user->participant, user->id, payload, (size_t)longest + 1, 0, NULL));
    free(payload);
    refused("ahead", lockstep_participant_publish_at(user->participant, user->id, 1000, NULL, 0, 0));
    char name[66] = "";
    uint32_t id = 0;
    refused("empty-name", lockstep_participant_open(user->participant, name, SECOND, NULL, NULL, &id));
    memset(name, 'x', sizeof name - 1);
    refused("long-name", lockstep_participant_open(user->participant, name, SECOND, NULL, NULL, &id));
    lockstep_subscriber *subscriber = NULL;
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_FROM};
    refused("start-zero", lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &subscriber));
    start.seq = (uint64_t)INT64_C(-1);
    refused("start-negative", lockstep_subscriber_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &subscriber));
    lockstep_subscriber_close(&subscriber);
    refused("start-text", lockstep_cursor_parse("here", &start.cursor));
}

static bool is_none(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    (void)context;
    (void)event;
    (void)payload;
    (void)number;
    return false;
}

/* Each call of a half with a handle that lacks it. What every handle has, these have too. */
static void absent_half(lockstep_endpoint *endpoint) {
    lockstep_publisher *publisher = NULL;
    lockstep_subscriber *subscriber = NULL;
    CHECK(lockstep_publisher_connect(endpoint, &publisher) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_subscriber_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &subscriber) == LOCKSTEP_STATUS_OK);
    uint32_t id = 0;
    uint8_t *memory = NULL;
    lockstep_outcomes outcomes;
    lockstep_cursor cursor;
    const int64_t answers[] = {
        lockstep_participant_publish(subscriber, 1, NULL, 0, 0, NULL),
        lockstep_participant_publish_at(subscriber, 1, 1, NULL, 0, 0),
        lockstep_participant_claim(subscriber, 1, &memory, 1, 0, NULL),
        lockstep_participant_close_name(subscriber, 1, NULL, 0),
        lockstep_participant_start_day(subscriber, 1, "day", NULL),
        lockstep_participant_end_day(subscriber, 1, NULL),
        lockstep_participant_open(subscriber, "absent", SECOND, NULL, NULL, &id),
        lockstep_participant_outcomes(subscriber, &outcomes),
        lockstep_participant_request(subscriber, 1, NULL, 0, 0, SECOND, is_none, NULL, NULL),
        lockstep_participant_request(publisher, 1, NULL, 0, 0, SECOND, is_none, NULL, NULL),
        lockstep_participant_begin(publisher, SECOND, NULL, NULL),
        -lockstep_participant_flush(subscriber),
        -lockstep_participant_is_drained(subscriber),
        -lockstep_participant_message_len_max(subscriber, 0),
        -lockstep_participant_claim_len_max(subscriber),
        -lockstep_participant_deliver_next(publisher),
        -lockstep_participant_commit_next(publisher),
        -lockstep_participant_is_ended(publisher),
        -lockstep_participant_cursor(publisher, &cursor),
    };
    for (size_t at = 0; at < sizeof answers / sizeof *answers; at++) CHECK(answers[at] == answers[0]);
    lockstep_participant *both[] = {publisher, subscriber};
    for (size_t at = 0; at < 2; at++) {
        lockstep_batch batch;
        CHECK(lockstep_participant_poll(both[at], 64, NULL, NULL) >= 0);
        CHECK(lockstep_participant_poll_batch(both[at], 64, &batch) >= 0);
        CHECK(lockstep_participant_wait(both[at], 0) >= 0 && lockstep_participant_due(both[at]) >= 0);
        CHECK(lockstep_participant_is_connected(both[at]) >= 0 && lockstep_participant_fd(both[at]) >= 0);
        lockstep_participant_close(&both[at]);
    }
    refused("absent-half", (lockstep_status)answers[0]);
}

static void unwritten_claim(struct user *user) {
    uint8_t *memory = NULL;
    lockstep_status status =
        lockstep_participant_claim(user->participant, user->id, &memory, 8, 0, &user->number);
    user->content = "\0\0\0\0\0\0\0";
    user->content_len = 8;
    user->delivered = user->committed = 0;
    answer("unwritten-claim", status == LOCKSTEP_STATUS_OK ? once(user) : lockstep_status_name(status));
}

/* Whether the event is the request itself; calls the handle in which it is asked. */
static bool is_own(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    (void)payload;
    struct user *user = context;
    if (number != 0) user->published = lockstep_participant_publish(user->participant, user->id, NULL, 0, 0, NULL);
    return event->kind == LOCKSTEP_EVENT_KIND_MESSAGE && event->publisher == user->id && event->publisher_seq == number;
}

static bool closes_own(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    struct user *user = context;
    (void)payload;
    lockstep_participant_close(&user->participant);
    return event->kind == LOCKSTEP_EVENT_KIND_MESSAGE && event->publisher == user->id && event->publisher_seq == number;
}

static lockstep_status request(const struct user *user, uint64_t timeout, lockstep_is_answer is_answer, void *context) {
    return lockstep_participant_request(user->participant, user->id, (const uint8_t *)"ask", 3, 0, timeout, is_answer,
                                        context, NULL);
}

static void requests(lockstep_endpoint *endpoint, struct user *user) {
    CHECK(request(user, 10 * SECOND, is_own, user) == LOCKSTEP_STATUS_OK);
    refused("call-in-request", user->published);
    refused("request-late", request(user, SECOND / 1000, is_none, NULL));
    struct user closing = connected(endpoint, "closing");
    refused("close-in-request", request(&closing, 10 * SECOND, closes_own, &closing));
    CHECK(closing.participant == NULL);
    struct user first = connected(endpoint, "fenced"), second = connected(endpoint, "fenced");
    refused("request-fenced", request(&first, 10 * SECOND, is_none, NULL));
    lockstep_participant_close(&first.participant);
    lockstep_participant_close(&second.participant);
    struct user elsewhere = {.id = 0};
    const lockstep_start start = {.kind = LOCKSTEP_START_KIND_CURSOR, .cursor = {.history = 1, .seq = 1, .chain = 1}};
    CHECK(lockstep_participant_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &elsewhere.participant) ==
          LOCKSTEP_STATUS_OK);
    while (lockstep_participant_is_ended(elsewhere.participant) == 0) poll_once(&elsewhere);
    refused("request-ended", request(&elsewhere, 10 * SECOND, is_none, NULL));
    lockstep_participant_close(&elsewhere.participant);
}

static void closes(struct user *user) {
    ask(user);
    user->closes = true;
    int64_t result = 0;
    while (user->participant != NULL && result >= 0)
        result = lockstep_participant_poll(user->participant, 64, on_event, user);
    answered("close-in-callback", result);
    refused("use-after-close", lockstep_participant_publish(user->participant, user->id, NULL, 0, 0, NULL));
    lockstep_participant_close(&user->participant);
    refused("close-twice", LOCKSTEP_STATUS_OK);
}

/* What the callback of a merged handle does and sees. */
struct merged_user {
    lockstep_merged_subscriber *merged;
    bool polls, closes;
    int64_t nested;
    atomic_bool is_over;
};

static bool on_merged(void *context, const lockstep_place *place, const lockstep_event *event, const uint8_t *payload) {
    struct merged_user *user = context;
    (void)event;
    (void)payload;
    CHECK(*lockstep_merged_subscriber_stream_name(user->merged, place->stream) == 0);
    if (user->polls) user->nested = lockstep_merged_subscriber_poll(user->merged, 1, NULL, NULL);
    user->polls = false;
    if (user->closes) lockstep_merged_subscriber_close(&user->merged);
    return true;
}

static void *waits_merged(void *context) {
    struct merged_user *user = context;
    while (!atomic_load(&user->is_over)) lockstep_merged_subscriber_wait(user->merged, SECOND / 5);
    return NULL;
}

static void merged_two_threads(struct merged_user *user) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, waits_merged, user) == 0);
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t result = 0;
    for (int tries = 0; tries < 1000 && result != -LOCKSTEP_STATUS_IN_USE; tries++) {
        nanosleep(&pause, NULL);
        result = lockstep_merged_subscriber_next_number(user->merged);
    }
    atomic_store(&user->is_over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    answered("merged-two-threads", result);
}

/* Of the file of one cluster, which is a set of one stream. */
static void merged(void) {
    struct merged_user user = {.polls = true, .nested = 1};
    refused("merged-start", lockstep_merged_subscriber_connect(NULL, "here", SECOND, &user.merged));
    CHECK(user.merged == NULL);
    CHECK(lockstep_merged_subscriber_connect(NULL, "beginning", 10 * SECOND, &user.merged) == LOCKSTEP_STATUS_OK);
    merged_two_threads(&user);
    while (user.polls) {
        CHECK(lockstep_merged_subscriber_wait(user.merged, SECOND / 1000) >= 0);
        CHECK(lockstep_merged_subscriber_poll(user.merged, 64, on_merged, &user) >= 0);
    }
    answered("merged-poll-in-callback", user.nested);
    if (is_child("merged-fork")) _exit((int)-lockstep_merged_subscriber_poll(user.merged, 64, on_merged, &user));
    const char *cursor = NULL;
    CHECK(lockstep_merged_subscriber_cursor(user.merged, &cursor) == LOCKSTEP_STATUS_OK);
    CHECK(strncmp(cursor, "merged:1;", 9) == 0 && lockstep_merged_subscriber_is_ended(user.merged) == 0);
    lockstep_merged_subscriber_close(&user.merged);
    CHECK(lockstep_merged_subscriber_connect(NULL, "beginning", 10 * SECOND, &user.merged) == LOCKSTEP_STATUS_OK);
    user.closes = true;
    int64_t result = 0;
    while (user.merged != NULL && result >= 0) result = lockstep_merged_subscriber_poll(user.merged, 1, on_merged, &user);
    answered("merged-close-in-callback", result);
    lockstep_merged_batch batch;
    answered("merged-closed", lockstep_merged_subscriber_poll_batch(user.merged, 64, &batch));
    lockstep_merged_subscriber_close(&user.merged);
    refused("merged-close-twice", LOCKSTEP_STATUS_OK);
}

int main(int count, char **values) {
    CHECK(count == 2);
    lockstep_endpoint *endpoint = NULL;
    CHECK(lockstep_endpoint_from_env(&endpoint) == LOCKSTEP_STATUS_OK);
    struct user user = connected(endpoint, values[1]);
    in_callbacks(&user);
    fork_with(&user);
    cursor_files();
    merged();
    two_threads(&user);
    arguments(endpoint, &user);
    absent_half(endpoint);
    unwritten_claim(&user);
    requests(endpoint, &user);
    closes(&user);
    lockstep_endpoint_close(&endpoint);
    refused("closed-endpoint",
            lockstep_participant_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &user.participant));
    return 0;
}
