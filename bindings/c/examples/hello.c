/* Publishes a message, reads the stream until it is delivered, and saves the cursor with which another run goes on:
 *
 *     LOCKSTEP_CONFIG=… hello [FILE]          FILE is by default hello.cursor
 */
#include <inttypes.h>
#include <lockstep.h>
#include <stdio.h>
#include <string.h>

struct wanted {
    uint32_t publisher;
    uint64_t number;
    bool is_delivered;
};

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    struct wanted *wanted = context;
    if (event->kind == LOCKSTEP_EVENT_KIND_OUTCOME_COMMITTED) {
        printf("committed at seq %" PRIu64 "\n", event->seq);
    } else if (event->kind == LOCKSTEP_EVENT_KIND_MESSAGE) {
        printf("%" PRIu64 ": %.*s\n", event->seq, (int)event->payload_len, (const char *)payload);
        wanted->is_delivered |= event->publisher == wanted->publisher && event->publisher_seq == wanted->number;
    }
    return true;
}

static int fail(const char *doing) {
    fprintf(stderr, "%s: %s\n", doing, lockstep_error());
    return 1;
}

int main(int count, char **arguments) {
    if (lockstep_abi_version() != LOCKSTEP_ABI_VERSION) {
        fprintf(stderr, "liblockstep_c %s is not of the version of lockstep.h\n", lockstep_version());
        return 1;
    }
    lockstep_endpoint *endpoint = NULL;
    lockstep_participant *participant = NULL;
    lockstep_cursor_file *file = NULL;
    lockstep_start start = {.kind = LOCKSTEP_START_KIND_FROM, .seq = 1};
    struct wanted wanted = {0};
    if (lockstep_cursor_file_open(count > 1 ? arguments[1] : "hello.cursor", &file) != LOCKSTEP_STATUS_OK ||
        lockstep_cursor_file_start_or(file, &start, &start) != LOCKSTEP_STATUS_OK)
        return fail("open the cursor's file");
    if (lockstep_endpoint_from_env(&endpoint) != LOCKSTEP_STATUS_OK) return fail("read the configuration");
    if (lockstep_participant_connect(endpoint, &start, LOCKSTEP_DELIVERY_COMMITTED, &participant) != LOCKSTEP_STATUS_OK)
        return fail("connect");
    if (lockstep_participant_open(participant, "orders", 5000000000u, on_event, &wanted, &wanted.publisher) !=
        LOCKSTEP_STATUS_OK)
        return fail("open the name");
    const char *order = "buy 100 at 42";
    if (lockstep_participant_publish(participant, wanted.publisher, (const uint8_t *)order, strlen(order),
                                     LOCKSTEP_EVERYBODY, &wanted.number) != LOCKSTEP_STATUS_OK)
        return fail("publish");
    while (!wanted.is_delivered) {
        int64_t work = lockstep_participant_poll(participant, 64, on_event, &wanted);
        if (work == 0) work = lockstep_participant_wait(participant, 10000000);
        if (work < 0) return fail("poll");
    }
    lockstep_cursor cursor;
    char text[LOCKSTEP_CURSOR_TEXT];
    if (lockstep_participant_cursor(participant, &cursor) == 1 &&
        lockstep_cursor_print(&cursor, text) == LOCKSTEP_STATUS_OK) {
        if (lockstep_cursor_file_save(file, &cursor) != LOCKSTEP_STATUS_OK) return fail("save the cursor");
        printf("resume with %s\n", text);
    }
    lockstep_cursor_file_close(&file);
    lockstep_participant_close(&participant);
    lockstep_endpoint_close(&endpoint);
    return 0;
}
