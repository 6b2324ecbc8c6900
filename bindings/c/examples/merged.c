/* Reads the streams of a set in their one order:
 *
 *     LOCKSTEP_CONFIG=… merged [START [COUNT]]
 *
 * START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after
 * COUNT messages.
 */
#include <inttypes.h>
#include <lockstep.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
    lockstep_merged_subscriber *merged;
    uint64_t left;
};

static bool on_event(void *context, const lockstep_place *place, const lockstep_event *event, const uint8_t *payload) {
    struct reader *reader = context;
    if (event->kind != LOCKSTEP_EVENT_KIND_MESSAGE) return true;
    const char *stream = lockstep_merged_subscriber_stream_name(reader->merged, place->stream);
    printf("%" PRIu64 "\t%s\t%" PRIu64 "\t%" PRIu32 ":%" PRIu64 "\t%" PRIu32 "\t%.*s\n", place->number, stream, event->seq,
           event->publisher, event->publisher_seq, event->destination, (int)event->payload_len, (const char *)payload);
    return --reader->left > 0;
}

static int fail(const char *doing) {
    fprintf(stderr, "%s: %s\n", doing, lockstep_error());
    return 1;
}

int main(int count, char **arguments) {
    struct reader reader = {.left = count > 2 ? strtoull(arguments[2], NULL, 10) : UINT64_MAX};
    const char *cursor = NULL;
    if (lockstep_merged_subscriber_connect(NULL, count > 1 ? arguments[1] : "live", 10000000000u, &reader.merged) !=
        LOCKSTEP_STATUS_OK)
        return fail("connect");
    while (reader.left > 0 && lockstep_merged_subscriber_is_ended(reader.merged) == 0) {
        int64_t work = lockstep_merged_subscriber_poll(reader.merged, 64, on_event, &reader);
        if (work == 0) work = lockstep_merged_subscriber_wait(reader.merged, 10000000);
        if (work < 0) return fail("poll");
    }
    if (lockstep_merged_subscriber_cursor(reader.merged, &cursor) != LOCKSTEP_STATUS_OK) return fail("ask for the cursor");
    printf("resume with %s\n", cursor);
    lockstep_merged_subscriber_close(&reader.merged);
    return 0;
}
