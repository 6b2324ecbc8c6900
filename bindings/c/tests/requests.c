/* Makes requests beside an application that answers each to its publisher, `answer to NUMBER`, and then `more`; it answers
 * `later` when the next request comes. tests/foreign/bindings/c.rs runs it, under AddressSanitizer.
 *
 *     requests load NAME TAKEOVERS   until so many were seen: each request has its answer, and each event is delivered once
 *     requests late NAME             one request is not answered in its time; its answer is an event of the next one
 */
#include "check.h"
#include <inttypes.h>
#include <lockstep.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
/* Messages of one request: it, its answer, and one more. */
#define MESSAGES 3

struct asker {
    lockstep_participant *participant;
    uint32_t id;
    uint64_t messages, committed, epochs;
    uint64_t last_seq; /* of the last message */
    uint64_t answered; /* the number that the last answer has named */
};

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct asker *asker = context;
    asker->epochs += event->kind == LOCKSTEP_EVENT_KIND_EPOCH;
    if (event->kind == LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED) {
        asker->committed++;
        CHECK(event->publisher == asker->id && event->publisher_seq == asker->committed);
    }
    if (event->kind != LOCKSTEP_EVENT_KIND_MESSAGE) return true;
    CHECK(event->seq > asker->last_seq);
    asker->last_seq = event->seq;
    asker->messages++;
    char text[32] = "";
    CHECK(event->payload_len < sizeof text);
    memcpy(text, payload, event->payload_len);
    if (event->destination == asker->id) sscanf(text, "answer to %" SCNu64, &asker->answered);
    return true;
}

static bool is_answer(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    struct asker *asker = context;
    on_event(asker, event, payload);
    return asker->answered == number;
}

static lockstep_status request(struct asker *asker, const char *text, uint64_t timeout, uint64_t *number) {
    return lockstep_participant_request(asker->participant, asker->id, (const uint8_t *)text, strlen(text),
                                        LOCKSTEP_EVERYBODY, timeout, is_answer, asker, number);
}

/* A request that is answered; the stream behind the answer is left for the next poll. */
static void answered(struct asker *asker) {
    uint64_t number = 0;
    CHECK(request(asker, "ask", 60 * SECOND, &number) == LOCKSTEP_STATUS_OK);
    CHECK(number != 0 && asker->answered == number);
}

static void load(struct asker *asker, uint64_t takeovers) {
    uint64_t requests = 0;
    while (asker->epochs < takeovers || requests < 20) {
        uint64_t behind = asker->messages;
        answered(asker);
        requests++;
        CHECK(asker->messages <= behind + MESSAGES);
    }
    while (lockstep_participant_is_drained(asker->participant) != 1 || asker->messages < MESSAGES * requests) {
        CHECK(lockstep_participant_wait(asker->participant, SECOND / 1000) >= 0);
        CHECK(lockstep_participant_poll(asker->participant, 64, on_event, asker) >= 0);
    }
    CHECK(asker->messages == MESSAGES * requests && asker->committed == requests);
    printf("%" PRIu64 " requests, each with its answer, %" PRIu64 " takeovers\n", requests, asker->epochs);
}

static void late(struct asker *asker) {
    uint64_t number = 0;
    CHECK(request(asker, "later", SECOND / 5, &number) == LOCKSTEP_STATUS_TIMED_OUT && number == 1);
    const char *words = lockstep_error();
    CHECK(strstr(words, "request 1 has no answer within 200ms") != NULL && strstr(words, "may be answered later") != NULL);
    CHECK(asker->messages == 1 && asker->committed == 1);
    answered(asker);
    CHECK(asker->messages == 5); /* both requests, the late answer with its companion, and the answer */
    CHECK(lockstep_participant_request(asker->participant, asker->id, NULL, 0, 0, 0, NULL, NULL, &number) ==
          LOCKSTEP_STATUS_ARGUMENT);
    CHECK(number == 0);
    CHECK(lockstep_participant_request(NULL, asker->id, NULL, 0, 0, 0, is_answer, asker, NULL) ==
          LOCKSTEP_STATUS_CLOSED_HANDLE);
    printf("answered later\n");
}

/* Closes the handle of its own request, which ends in its time. */
static bool closes(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    struct asker *asker = context;
    (void)event;
    (void)payload;
    if (number != 0) lockstep_participant_close(&asker->participant);
    return number != 0;
}

int main(int count, char **arguments) {
    CHECK(count >= 3);
    lockstep_endpoint *endpoint = NULL;
    CHECK(lockstep_endpoint_from_env(&endpoint) == LOCKSTEP_STATUS_OK);
    struct asker asker = {.id = 0};
    CHECK(lockstep_participant_connect(endpoint, NULL, LOCKSTEP_DELIVERY_COMMITTED, &asker.participant) ==
          LOCKSTEP_STATUS_OK);
    lockstep_endpoint_close(&endpoint);
    CHECK(lockstep_participant_begin(asker.participant, 60 * SECOND, on_event, &asker) == LOCKSTEP_STATUS_OK);
    CHECK(lockstep_participant_open(asker.participant, arguments[2], 60 * SECOND, on_event, &asker, &asker.id) ==
          LOCKSTEP_STATUS_OK);
    if (strcmp(arguments[1], "load") == 0 && count == 4) load(&asker, strtoull(arguments[3], NULL, 10));
    if (strcmp(arguments[1], "late") == 0) late(&asker);
    CHECK(lockstep_participant_request(asker.participant, asker.id, NULL, 0, 0, 60 * SECOND, closes, &asker, NULL) ==
          LOCKSTEP_STATUS_OK);
    CHECK(asker.participant == NULL);
    return 0;
}
