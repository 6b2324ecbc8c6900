/* lockstep.h for Node: what index.js makes classes of. A handle is a napi external that frees itself when it is
 * collected; closed before, it is refused by the library. All of it runs in the thread of its environment. */
#define NAPI_VERSION 6
#include <lockstep.h>
#include <node_api.h>
#include <stdlib.h>
#include <string.h>

enum kind { ENDPOINT, PUBLISHER, SUBSCRIBER, PARTICIPANT, MERGED_SUBSCRIBER, CURSOR_FILE };

struct handle {
    enum kind kind;
    union {
        lockstep_endpoint *endpoint;
        lockstep_participant *participant; /* of all three kinds */
        lockstep_merged_subscriber *merged_subscriber;
        lockstep_cursor_file *cursor_file;
    } of;
};

#define ARGUMENTS_MAX 6

/* ------------------------------------------------------------------------ failures */

/* Throws an error with the status as its property `status`; that of an argument is a TypeError. */
static napi_value fail(napi_env env, lockstep_status status, const char *words) {
    napi_value text, error, number;
    bool is_argument = status == LOCKSTEP_STATUS_ARGUMENT;
    if (napi_create_string_utf8(env, words, NAPI_AUTO_LENGTH, &text) == napi_ok &&
        (is_argument ? napi_create_type_error : napi_create_error)(env, NULL, text, &error) == napi_ok &&
        napi_create_int32(env, (int32_t)status, &number) == napi_ok &&
        napi_set_named_property(env, error, "status", number) == napi_ok)
        napi_throw(env, error);
    return NULL;
}

static napi_value fail_last(napi_env env, lockstep_status status) { return fail(env, status, lockstep_error()); }

static napi_value fail_argument(napi_env env, const char *words) {
    return fail(env, LOCKSTEP_STATUS_ARGUMENT, words);
}

/* ------------------------------------------------------------------------ arguments and results */

/* The arguments of a call; false: there are fewer, and an error is thrown. */
static bool arguments(napi_env env, napi_callback_info info, size_t wanted, napi_value *values) {
    size_t count = ARGUMENTS_MAX;
    if (napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok && count >= wanted) return true;
    fail_argument(env, "too few arguments");
    return false;
}

static unsigned bit(enum kind kind) { return 1U << kind; }

/* A handle of one of the kinds whose bits these are. */
static struct handle *any_of(napi_env env, napi_value value, unsigned kinds) {
    void *data = NULL;
    napi_valuetype type;
    if (napi_typeof(env, value, &type) == napi_ok && type == napi_external &&
        napi_get_value_external(env, value, &data) == napi_ok && (bit(((struct handle *)data)->kind) & kinds) != 0)
        return data;
    fail_argument(env, "the first argument is no handle of this kind");
    return NULL;
}

static struct handle *handle_of(napi_env env, napi_value value, enum kind kind) { return any_of(env, value, bit(kind)); }

/* A handle of the stream. The library refuses a call of the half that it lacks. */
static struct handle *stream_of(napi_env env, napi_value value) {
    return any_of(env, value, bit(PUBLISHER) | bit(SUBSCRIBER) | bit(PARTICIPANT));
}

static bool uint32_of(napi_env env, napi_value value, const char *what, uint32_t *out) {
    double number = -1;
    if (napi_get_value_double(env, value, &number) == napi_ok && number >= 0 && number <= UINT32_MAX &&
        number == (double)(uint32_t)number) {
        *out = (uint32_t)number;
        return true;
    }
    fail_argument(env, what);
    return false;
}

/* A text in memory of its own. One with a 0 in it, at which it would end in C, is refused with `status`. */
static char *text_of(napi_env env, napi_value value, lockstep_status status, const char *what) {
    size_t len = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &len) != napi_ok) {
        fail_argument(env, what);
        return NULL;
    }
    char *text = malloc(len + 1);
    if (text == NULL || napi_get_value_string_utf8(env, value, text, len + 1, &len) != napi_ok || strlen(text) != len) {
        free(text);
        fail(env, status, what);
        return NULL;
    }
    return text;
}

static uint64_t nanos(uint32_t milliseconds) { return UINT64_C(1000000) * milliseconds; }

static napi_value of_int64(napi_env env, int64_t number) {
    napi_value value = NULL;
    napi_create_int64(env, number, &value);
    return value;
}

static napi_value number_or_fail(napi_env env, int64_t result) {
    return result < 0 ? fail_last(env, (lockstep_status)-result) : of_int64(env, result);
}

static void close_handle(struct handle *handle) {
    switch (handle->kind) {
    case ENDPOINT: lockstep_endpoint_close(&handle->of.endpoint); break;
    case PUBLISHER:
    case SUBSCRIBER:
    case PARTICIPANT: lockstep_participant_close(&handle->of.participant); break;
    case MERGED_SUBSCRIBER: lockstep_merged_subscriber_close(&handle->of.merged_subscriber); break;
    case CURSOR_FILE: lockstep_cursor_file_close(&handle->of.cursor_file); break;
    }
}

static void collected(napi_env env, void *data, void *hint) {
    (void)env;
    (void)hint;
    close_handle(data);
    free(data);
}

/* A handle as a value, or the failure to connect it. */
static napi_value of_handle(napi_env env, lockstep_status status, struct handle handle) {
    if (status != LOCKSTEP_STATUS_OK) return fail_last(env, status);
    struct handle *owned = malloc(sizeof *owned);
    napi_value value = NULL;
    if (owned != NULL) *owned = handle;
    if (owned == NULL || napi_create_external(env, owned, collected, NULL, &value) != napi_ok) {
        close_handle(&handle);
        free(owned);
        return fail(env, LOCKSTEP_STATUS_IO, "no memory is left for a handle");
    }
    return value;
}

/* ------------------------------------------------------------------------ functions */

static napi_value endpoint_from_env(napi_env env, napi_callback_info info) {
    (void)info;
    struct handle handle = {.kind = ENDPOINT};
    lockstep_status status = lockstep_endpoint_from_env(&handle.of.endpoint);
    return of_handle(env, status, handle);
}

static napi_value endpoint_from_file(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 1, values)) return NULL;
    char *path = text_of(env, values[0], LOCKSTEP_STATUS_ARGUMENT, "the path is no text");
    if (path == NULL) return NULL;
    struct handle handle = {.kind = ENDPOINT};
    lockstep_status status = lockstep_endpoint_from_file(path, &handle.of.endpoint);
    free(path);
    return of_handle(env, status, handle);
}

static napi_value connect_publisher(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 1, values)) return NULL;
    const struct handle *endpoint = handle_of(env, values[0], ENDPOINT);
    if (endpoint == NULL) return NULL;
    struct handle handle = {.kind = PUBLISHER};
    lockstep_status status = lockstep_publisher_connect(endpoint->of.endpoint, &handle.of.participant);
    return of_handle(env, status, handle);
}

/* (endpoint, kind of start, seq as a BigInt, cursor as a text, delivery). */
static napi_value connect_reading(napi_env env, napi_callback_info info, enum kind kind) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 5, values)) return NULL;
    const struct handle *endpoint = handle_of(env, values[0], ENDPOINT);
    if (endpoint == NULL) return NULL;
    lockstep_start start = {0};
    uint32_t delivery;
    bool is_whole = false;
    if (!uint32_of(env, values[1], "the start is none", &start.kind) ||
        !uint32_of(env, values[4], "the delivery is no number of Delivery", &delivery))
        return NULL;
    if (napi_get_value_bigint_uint64(env, values[2], &start.seq, &is_whole) != napi_ok || !is_whole)
        return fail_argument(env, "the seq is no BigInt of 64 bits");
    char *text = text_of(env, values[3], LOCKSTEP_STATUS_ARGUMENT, "the cursor is no text");
    if (text == NULL) return NULL;
    lockstep_status status = LOCKSTEP_STATUS_OK;
    if (start.kind == LOCKSTEP_START_KIND_CURSOR) status = lockstep_cursor_parse(text, &start.cursor);
    free(text);
    struct handle handle = {.kind = kind};
    const lockstep_endpoint *of = endpoint->of.endpoint;
    if (status == LOCKSTEP_STATUS_OK)
        status = kind == SUBSCRIBER ? lockstep_subscriber_connect(of, &start, delivery, &handle.of.participant)
                                    : lockstep_participant_connect(of, &start, delivery, &handle.of.participant);
    return of_handle(env, status, handle);
}

static napi_value connect_subscriber(napi_env env, napi_callback_info info) {
    return connect_reading(env, info, SUBSCRIBER);
}

static napi_value connect_participant(napi_env env, napi_callback_info info) {
    return connect_reading(env, info, PARTICIPANT);
}

static napi_value close_any(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    void *data = NULL;
    if (!arguments(env, info, 1, values)) return NULL;
    if (napi_get_value_external(env, values[0], &data) != napi_ok) return fail_argument(env, "it is no handle");
    close_handle(data);
    return NULL;
}

/* (publisher or participant, name, milliseconds) -> id. */
static napi_value open_name(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 3, values)) return NULL;
    const struct handle *handle = stream_of(env, values[0]);
    uint32_t timeout, id = 0;
    if (handle == NULL || !uint32_of(env, values[2], "the timeout is no number of milliseconds", &timeout)) return NULL;
    char *name = text_of(env, values[1], LOCKSTEP_STATUS_NAME, "the name is no text without a 0");
    if (name == NULL) return NULL;
    lockstep_status status =
        lockstep_participant_open(handle->of.participant, name, nanos(timeout), NULL, NULL, &id);
    free(name);
    return status == LOCKSTEP_STATUS_OK ? of_int64(env, id) : fail_last(env, status);
}

/* What is published: the handle, the id, a Uint8Array, and the destination. */
struct message {
    const struct handle *handle;
    uint32_t id, destination;
    void *payload;
    size_t len;
};

static bool message_of(napi_env env, const napi_value *values, struct message *out) {
    out->handle = stream_of(env, values[0]);
    if (out->handle == NULL || !uint32_of(env, values[1], "the publisher's id is no number of 32 bits", &out->id) ||
        !uint32_of(env, values[3], "the destination is no number of 32 bits", &out->destination))
        return false;
    napi_typedarray_type type;
    bool is_array = false;
    if (napi_is_typedarray(env, values[2], &is_array) == napi_ok && is_array &&
        napi_get_typedarray_info(env, values[2], &type, &out->len, &out->payload, NULL, NULL) == napi_ok &&
        type == napi_uint8_array)
        return true;
    fail_argument(env, "the payload is no Buffer and no Uint8Array");
    return false;
}

/* (handle, id, Uint8Array, destination) -> number as a BigInt, or null for backpressure. */
static napi_value publish(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    struct message message = {0};
    if (!arguments(env, info, 4, values) || !message_of(env, values, &message)) return NULL;
    uint64_t number = 0;
    lockstep_status status = lockstep_participant_publish(message.handle->of.participant, message.id, message.payload, message.len, message.destination, &number);
    if (status == LOCKSTEP_STATUS_BACKPRESSURE) {
        napi_get_null(env, &result);
        return result;
    }
    if (status != LOCKSTEP_STATUS_OK) return fail_last(env, status);
    napi_create_bigint_uint64(env, number, &result);
    return result;
}

/* The function of a request. What it throws is pending until the library has returned. */
struct asker {
    napi_env env;
    napi_value function;
};

/* Calls it with a row, its payload, and the number; true: it has returned true, or thrown. */
static bool is_answer(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    const struct asker *asker = context;
    napi_env env = asker->env;
    napi_handle_scope scope;
    napi_value arguments[3], receiver, result;
    bool is_pending = false, is_over = false;
    if (napi_is_exception_pending(env, &is_pending) != napi_ok || is_pending) return true;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return true;
    lockstep_event row = *event;
    row.payload_at = 0;
    if (napi_create_buffer_copy(env, sizeof row, &row, NULL, &arguments[0]) != napi_ok ||
        napi_create_buffer_copy(env, event->payload_len, payload, NULL, &arguments[1]) != napi_ok ||
        napi_create_bigint_uint64(env, number, &arguments[2]) != napi_ok ||
        napi_get_undefined(env, &receiver) != napi_ok ||
        napi_call_function(env, receiver, asker->function, 3, arguments, &result) != napi_ok ||
        napi_get_value_bool(env, result, &is_over) != napi_ok)
        is_over = true;
    napi_close_handle_scope(env, scope);
    return is_over;
}

/* (participant, id, Uint8Array, destination, milliseconds, function). */
static napi_value request(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    struct message message = {0};
    uint32_t timeout;
    if (!arguments(env, info, 6, values) || handle_of(env, values[0], PARTICIPANT) == NULL ||
        !message_of(env, values, &message) ||
        !uint32_of(env, values[4], "the timeout is no number of milliseconds", &timeout))
        return NULL;
    struct asker asker = {.env = env, .function = values[5]};
    lockstep_status status =
        lockstep_participant_request(message.handle->of.participant, message.id, message.payload, message.len,
                                     message.destination, nanos(timeout), is_answer, &asker, NULL);
    bool is_pending = false;
    if (napi_is_exception_pending(env, &is_pending) == napi_ok && is_pending) return NULL;
    return status == LOCKSTEP_STATUS_OK ? NULL : fail_last(env, status);
}

/* Appends a new Buffer with these bytes to an array. */
static bool push(napi_env env, napi_value array, const void *bytes, size_t len) {
    napi_value part;
    uint32_t at;
    return napi_create_buffer_copy(env, len, bytes, NULL, &part) == napi_ok &&
           napi_get_array_length(env, array, &at) == napi_ok && napi_set_element(env, array, at, part) == napi_ok;
}

/* [work, rows, payloads]: new Buffers, which nothing changes later. */
static napi_value of_batch(napi_env env, int64_t work, const lockstep_batch *batch) {
    napi_value result;
    if (work < 0) return fail_last(env, (lockstep_status)-work);
    if (napi_create_array(env, &result) != napi_ok ||
        napi_set_element(env, result, 0, of_int64(env, work)) != napi_ok ||
        !push(env, result, batch->events, batch->len * sizeof *batch->events) ||
        !push(env, result, batch->bytes, batch->bytes_len))
        return NULL;
    return result;
}

/* (handle, limit) -> [work, rows, payloads]. */
static napi_value poll_batch(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    uint32_t limit;
    if (!arguments(env, info, 2, values)) return NULL;
    const struct handle *handle = stream_of(env, values[0]);
    if (handle == NULL || !uint32_of(env, values[1], "the limit is no number of 32 bits", &limit)) return NULL;
    lockstep_batch batch = {0};
    return of_batch(env, lockstep_participant_poll_batch(handle->of.participant, limit, &batch), &batch);
}

/* (handle, milliseconds) -> 1 if a datagram has arrived. */
static napi_value wait_for(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    uint32_t timeout;
    if (!arguments(env, info, 2, values)) return NULL;
    const struct handle *handle = stream_of(env, values[0]);
    if (handle == NULL || !uint32_of(env, values[1], "the timeout is no number of milliseconds", &timeout)) return NULL;
    return number_or_fail(env, lockstep_participant_wait(handle->of.participant, nanos(timeout)));
}

/* A number of the library that is asked for with the handle alone. */
static napi_value asked(napi_env env, napi_callback_info info, int64_t (*ask)(lockstep_participant *)) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 1, values)) return NULL;
    const struct handle *handle = stream_of(env, values[0]);
    return handle == NULL ? NULL : number_or_fail(env, ask(handle->of.participant));
}

static napi_value flush(napi_env env, napi_callback_info info) { return asked(env, info, lockstep_participant_flush); }

static napi_value is_drained(napi_env env, napi_callback_info info) {
    return asked(env, info, lockstep_participant_is_drained);
}

static napi_value is_ended(napi_env env, napi_callback_info info) {
    return asked(env, info, lockstep_participant_is_ended);
}

/* What became of the messages so far: an object of numbers. */
static napi_value outcomes(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    if (!arguments(env, info, 1, values)) return NULL;
    const struct handle *handle = stream_of(env, values[0]);
    if (handle == NULL) return NULL;
    lockstep_outcomes counts;
    lockstep_status status = lockstep_participant_outcomes(handle->of.participant, &counts);
    if (status != LOCKSTEP_STATUS_OK) return fail_last(env, status);
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {
        {"committed", counts.committed}, {"discarded", counts.discarded}, {"diverged", counts.diverged},
        {"fenced", counts.fenced},       {"closed", counts.closed},       {"unknown", counts.unknown},
        {"open", counts.open},
    };
    if (napi_create_object(env, &result) != napi_ok) return NULL;
    for (size_t row = 0; row < sizeof(rows) / sizeof *rows; row++) {
        napi_value count;
        if (napi_create_bigint_uint64(env, rows[row].count, &count) != napi_ok) return NULL;
        if (napi_set_named_property(env, result, rows[row].name, count) != napi_ok) return NULL;
    }
    return result;
}

/* The cursor of a handle as a text, or null where it has none so far. */
static napi_value cursor_of(napi_env env, napi_callback_info info, bool is_file) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    if (!arguments(env, info, 1, values)) return NULL;
    const struct handle *handle = is_file ? handle_of(env, values[0], CURSOR_FILE) : stream_of(env, values[0]);
    if (handle == NULL) return NULL;
    lockstep_cursor position;
    char text[LOCKSTEP_CURSOR_TEXT] = "";
    int64_t stored = is_file ? lockstep_cursor_file_cursor(handle->of.cursor_file, &position)
                             : lockstep_participant_cursor(handle->of.participant, &position);
    if (stored < 0) return fail_last(env, (lockstep_status)-stored);
    if (stored == 0) {
        napi_get_null(env, &result);
        return result;
    }
    lockstep_cursor_print(&position, text);
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
    return result;
}

static napi_value cursor(napi_env env, napi_callback_info info) { return cursor_of(env, info, false); }

static napi_value cursor_file_cursor(napi_env env, napi_callback_info info) { return cursor_of(env, info, true); }

static napi_value cursor_file_open(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 1, values)) return NULL;
    char *path = text_of(env, values[0], LOCKSTEP_STATUS_ARGUMENT, "the path is no text");
    if (path == NULL) return NULL;
    struct handle handle = {.kind = CURSOR_FILE};
    lockstep_status status = lockstep_cursor_file_open(path, &handle.of.cursor_file);
    free(path);
    return of_handle(env, status, handle);
}

/* (cursor file, cursor as a text). */
static napi_value cursor_file_save(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    if (!arguments(env, info, 2, values)) return NULL;
    const struct handle *handle = handle_of(env, values[0], CURSOR_FILE);
    if (handle == NULL) return NULL;
    char *text = text_of(env, values[1], LOCKSTEP_STATUS_ARGUMENT, "the cursor is no text");
    if (text == NULL) return NULL;
    lockstep_cursor position;
    lockstep_status status = lockstep_cursor_parse(text, &position);
    free(text);
    if (status == LOCKSTEP_STATUS_OK) status = lockstep_cursor_file_save(handle->of.cursor_file, &position);
    return status == LOCKSTEP_STATUS_OK ? NULL : fail_last(env, status);
}

/* ------------------------------------------------------------------------ the merged order of a set */

/* (path or null, start, milliseconds). */
static napi_value connect_merged(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    napi_valuetype type;
    uint32_t timeout;
    if (!arguments(env, info, 3, values) || napi_typeof(env, values[0], &type) != napi_ok ||
        !uint32_of(env, values[2], "the timeout is no number of milliseconds", &timeout))
        return NULL;
    bool has_path = type != napi_null && type != napi_undefined;
    char *path = has_path ? text_of(env, values[0], LOCKSTEP_STATUS_ARGUMENT, "the path is no text") : NULL;
    if (has_path && path == NULL) return NULL;
    char *start = text_of(env, values[1], LOCKSTEP_STATUS_ARGUMENT, "the start is no text");
    if (start == NULL) {
        free(path);
        return NULL;
    }
    struct handle handle = {.kind = MERGED_SUBSCRIBER};
    lockstep_status status =
        lockstep_merged_subscriber_connect(path, start, nanos(timeout), &handle.of.merged_subscriber);
    free(path);
    free(start);
    return of_handle(env, status, handle);
}

/* The merged subscriber that is the first argument; NULL: an error is thrown. */
static const struct handle *merged_of(napi_env env, napi_callback_info info, size_t wanted, napi_value *values) {
    return arguments(env, info, wanted, values) ? handle_of(env, values[0], MERGED_SUBSCRIBER) : NULL;
}

/* (merged subscriber, limit) -> [work, rows, payloads, places]. */
static napi_value merged_poll_batch(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    uint32_t limit;
    const struct handle *handle = merged_of(env, info, 2, values);
    if (handle == NULL || !uint32_of(env, values[1], "the limit is no number of 32 bits", &limit)) return NULL;
    lockstep_merged_batch merged = {0};
    int64_t work = lockstep_merged_subscriber_poll_batch(handle->of.merged_subscriber, limit, &merged);
    napi_value result = of_batch(env, work, &merged.batch);
    if (result == NULL || !push(env, result, merged.places, merged.batch.len * sizeof *merged.places)) return NULL;
    return result;
}

/* (merged subscriber, milliseconds) -> 1 if a datagram has arrived. */
static napi_value merged_wait(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    uint32_t timeout;
    const struct handle *handle = merged_of(env, info, 2, values);
    if (handle == NULL || !uint32_of(env, values[1], "the timeout is no number of milliseconds", &timeout)) return NULL;
    return number_or_fail(env, lockstep_merged_subscriber_wait(handle->of.merged_subscriber, nanos(timeout)));
}

/* (merged subscriber) -> a text. */
static napi_value merged_cursor(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    const struct handle *handle = merged_of(env, info, 1, values);
    if (handle == NULL) return NULL;
    const char *text = NULL;
    lockstep_status status = lockstep_merged_subscriber_cursor(handle->of.merged_subscriber, &text);
    if (status != LOCKSTEP_STATUS_OK) return fail_last(env, status);
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
    return result;
}

/* (merged subscriber) -> a BigInt. */
static napi_value merged_next_number(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    const struct handle *handle = merged_of(env, info, 1, values);
    if (handle == NULL) return NULL;
    int64_t next = lockstep_merged_subscriber_next_number(handle->of.merged_subscriber);
    if (next < 0) return fail_last(env, (lockstep_status)-next);
    napi_create_bigint_uint64(env, (uint64_t)next, &result);
    return result;
}

static napi_value merged_is_ended(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX];
    const struct handle *handle = merged_of(env, info, 1, values);
    return handle == NULL ? NULL
                          : number_or_fail(env, lockstep_merged_subscriber_is_ended(handle->of.merged_subscriber));
}

/* (merged subscriber, cluster as a BigInt) -> a text. */
static napi_value merged_stream_name(napi_env env, napi_callback_info info) {
    napi_value values[ARGUMENTS_MAX], result = NULL;
    uint64_t stream = 0;
    bool is_whole = false;
    const struct handle *handle = merged_of(env, info, 2, values);
    if (handle == NULL) return NULL;
    if (napi_get_value_bigint_uint64(env, values[1], &stream, &is_whole) != napi_ok || !is_whole)
        return fail_argument(env, "the stream is no BigInt of 64 bits");
    /* The failure of every call behind close. */
    if (handle->of.merged_subscriber == NULL)
        return number_or_fail(env, lockstep_merged_subscriber_next_number(NULL));
    const char *name = lockstep_merged_subscriber_stream_name(handle->of.merged_subscriber, stream);
    napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &result);
    return result;
}

static napi_value version(napi_env env, napi_callback_info info) {
    (void)info;
    napi_value result = NULL;
    napi_create_string_utf8(env, lockstep_version(), NAPI_AUTO_LENGTH, &result);
    return result;
}

/* ------------------------------------------------------------------------ the module */

static const struct {
    const char *name;
    napi_callback function;
} FUNCTIONS[] = {
    {"endpointFromEnv", endpoint_from_env},
    {"endpointFromFile", endpoint_from_file},
    {"connectPublisher", connect_publisher},
    {"connectSubscriber", connect_subscriber},
    {"connectParticipant", connect_participant},
    {"close", close_any},
    {"open", open_name},
    {"publish", publish},
    {"request", request},
    {"pollBatch", poll_batch},
    {"wait", wait_for},
    {"flush", flush},
    {"outcomes", outcomes},
    {"isDrained", is_drained},
    {"isEnded", is_ended},
    {"cursor", cursor},
    {"cursorFileOpen", cursor_file_open},
    {"cursorFileCursor", cursor_file_cursor},
    {"cursorFileSave", cursor_file_save},
    {"connectMerged", connect_merged},
    {"mergedPollBatch", merged_poll_batch},
    {"mergedWait", merged_wait},
    {"mergedCursor", merged_cursor},
    {"mergedNextNumber", merged_next_number},
    {"mergedIsEnded", merged_is_ended},
    {"mergedStreamName", merged_stream_name},
    {"version", version},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

NAPI_MODULE_INIT() {
    if (lockstep_abi_version() != LOCKSTEP_ABI_VERSION) {
        napi_throw_error(env, NULL, "liblockstep_c is not of the version of lockstep.h");
        return NULL;
    }
    for (size_t at = 0; at < COUNT(FUNCTIONS); at++) {
        napi_value function;
        if (napi_create_function(env, FUNCTIONS[at].name, NAPI_AUTO_LENGTH, FUNCTIONS[at].function, NULL, &function) ==
            napi_ok)
            napi_set_named_property(env, exports, FUNCTIONS[at].name, function);
    }
    return exports;
}
