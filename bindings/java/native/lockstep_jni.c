/* The native side of bindings/java: the functions of class Native over lockstep.h.
 *
 * Events are copied into memory that belongs to Java (direct buffers of class Batch): what Java holds of it stays valid
 * for the garbage collector's time, whatever happens to the handle. A claimed message is written into such memory too,
 * and copied into its place by the next call with the handle.
 *
 * Results below 0 are negative statuses. A handle is used by one thread at a time, which class Handle sees to. */
#include "io_lockstep_Native.h"

#include <lockstep.h>
#include <stdlib.h>
#include <string.h>

#define INTERFACE_VERSION 4

/* Bytes of a message of an array that are copied by way of the stack. */
#define STACK_BYTES 2048

enum kind { PUBLISHER, SUBSCRIBER, PARTICIPANT };

struct handle {
    lockstep_participant *of;
    lockstep_batch batch; /* of the last poll */
    uint8_t *rows;        /* Java's: a header of the size of a row, and rows */
    size_t rows_size;
    uint8_t *bytes;       /* Java's: payloads */
    size_t bytes_size;
    uint8_t *claims;       /* Java's: a claimed message */
    uint8_t *claimed;      /* where it belongs; NULL: nothing is claimed */
    size_t claimed_len;
};

_Static_assert(sizeof(lockstep_event) == 64, "class Event reads rows of 64 bytes");
_Static_assert(sizeof(void *) == sizeof(jlong), "a handle is a jlong in Java");

/* Native.<name> of a handle alone: a function of the library that takes nothing else. */
#define GETTER(name, function)                                                                       \
    JNIEXPORT jlong JNICALL Java_io_lockstep_Native_##name(JNIEnv *env, jclass type, jlong address) { \
        (void)env;                                                                                   \
        (void)type;                                                                                  \
        return lockstep_participant_##function(use(address)->of);                                    \
    }

/* The handle, with what was claimed before in its place. */
static struct handle *use(jlong address) {
    struct handle *handle = (struct handle *)address;
    if (handle->claimed != NULL) {
        memcpy(handle->claimed, handle->claims, handle->claimed_len);
        handle->claimed = NULL;
    }
    return handle;
}

static jlong failure(lockstep_status status) { return -(jlong)status; }

static jlong number_or(lockstep_status status, uint64_t number) {
    return status == LOCKSTEP_STATUS_OK ? (jlong)number : failure(status);
}

static jlong of_pointer(const void *pointer) { return (jlong)pointer; }

/* Writes the sizes of the batch, and the batch if there is room for it. */
static void store(const struct handle *handle) {
    const lockstep_batch *batch = &handle->batch;
    const uint64_t sizes[2] = {batch->len, batch->bytes_len};
    memcpy(handle->rows, sizes, sizeof sizes);
    if ((batch->len + 1) * sizeof *batch->events > handle->rows_size || batch->bytes_len > handle->bytes_size) return;
    if (batch->len > 0) memcpy(handle->rows + sizeof *batch->events, batch->events, batch->len * sizeof *batch->events);
    if (batch->bytes_len > 0) memcpy(handle->bytes, batch->bytes, batch->bytes_len);
}

/* A new array with the bytes of a text. */
static jbyteArray new_text(JNIEnv *env, const char *text) {
    jsize len = (jsize)strlen(text);
    jbyteArray array = (*env)->NewByteArray(env, len);
    if (array != NULL) (*env)->SetByteArrayRegion(env, array, 0, len, (const jbyte *)text);
    return array;
}

/* The bytes of an array in memory of their own, with a 0 behind them; NULL: an OutOfMemoryError is thrown. */
static uint8_t *copy_of(JNIEnv *env, jbyteArray array, jint offset, jint len) {
    uint8_t *copy = malloc((size_t)len + 1);
    if (copy == NULL) {
        jclass error = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
        if (error != NULL) (*env)->ThrowNew(env, error, "a copy of an array in native memory");
        return NULL;
    }
    (*env)->GetByteArrayRegion(env, array, offset, len, (jbyte *)copy);
    copy[len] = 0;
    return copy;
}

static char *text_of(JNIEnv *env, jbyteArray text) {
    return (char *)copy_of(env, text, 0, (*env)->GetArrayLength(env, text));
}

static void set_cursor(JNIEnv *env, jlongArray array, const lockstep_cursor *cursor) {
    const jlong numbers[3] = {(jlong)cursor->history, (jlong)cursor->seq, (jlong)cursor->chain};
    (*env)->SetLongArrayRegion(env, array, 0, 3, numbers);
}

/* ------------------------------------------------------------------------ the library */

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved) {
    (void)vm;
    (void)reserved;
    return lockstep_abi_version() == LOCKSTEP_ABI_VERSION ? JNI_VERSION_10 : JNI_ERR;
}

JNIEXPORT jint JNICALL Java_io_lockstep_Native_version(JNIEnv *env, jclass type) {
    (void)env;
    (void)type;
    return INTERFACE_VERSION;
}

JNIEXPORT jint JNICALL Java_io_lockstep_Native_abiVersion(JNIEnv *env, jclass type) {
    (void)env;
    (void)type;
    return LOCKSTEP_ABI_VERSION;
}

JNIEXPORT jbyteArray JNICALL Java_io_lockstep_Native_libraryVersion(JNIEnv *env, jclass type) {
    (void)type;
    return new_text(env, lockstep_version());
}

JNIEXPORT jbyteArray JNICALL Java_io_lockstep_Native_error(JNIEnv *env, jclass type) {
    (void)type;
    return new_text(env, lockstep_error());
}

JNIEXPORT jbyteArray JNICALL Java_io_lockstep_Native_cursorPrint(JNIEnv *env, jclass type, jlong history, jlong seq,
                                                                 jlong chain) {
    (void)type;
    const lockstep_cursor cursor = {.history = (uint64_t)history, .seq = (uint64_t)seq, .chain = (uint64_t)chain};
    char text[LOCKSTEP_CURSOR_TEXT] = "";
    lockstep_cursor_print(&cursor, text);
    return new_text(env, text);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_cursorParse(JNIEnv *env, jclass type, jbyteArray text,
                                                            jlongArray out) {
    (void)type;
    char *words = text_of(env, text);
    if (words == NULL) return 0;
    lockstep_cursor cursor;
    lockstep_status status = lockstep_cursor_parse(words, &cursor);
    free(words);
    if (status == LOCKSTEP_STATUS_OK) set_cursor(env, out, &cursor);
    return failure(status);
}

/* ------------------------------------------------------------------------ cursor files */

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_cursorFileOpen(JNIEnv *env, jclass type, jbyteArray path) {
    (void)type;
    char *name = text_of(env, path);
    if (name == NULL) return 0;
    lockstep_cursor_file *file = NULL;
    lockstep_status status = lockstep_cursor_file_open(name, &file);
    free(name);
    return status == LOCKSTEP_STATUS_OK ? of_pointer(file) : failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_cursorFileCursor(JNIEnv *env, jclass type, jlong file,
                                                                 jlongArray out) {
    (void)type;
    lockstep_cursor cursor;
    jlong result = lockstep_cursor_file_cursor((lockstep_cursor_file *)file, &cursor);
    if (result == 1) set_cursor(env, out, &cursor);
    return result;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_cursorFileSave(JNIEnv *env, jclass type, jlong file, jlong history,
                                                               jlong seq, jlong chain) {
    (void)env;
    (void)type;
    const lockstep_cursor cursor = {.history = (uint64_t)history, .seq = (uint64_t)seq, .chain = (uint64_t)chain};
    return failure(lockstep_cursor_file_save((lockstep_cursor_file *)file, &cursor));
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_cursorFileClose(JNIEnv *env, jclass type, jlong file) {
    (void)env;
    (void)type;
    lockstep_cursor_file *owned = (lockstep_cursor_file *)file;
    lockstep_cursor_file_close(&owned);
}

/* ------------------------------------------------------------------------ endpoints */

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_endpointFromEnv(JNIEnv *env, jclass type) {
    (void)env;
    (void)type;
    lockstep_endpoint *endpoint = NULL;
    lockstep_status status = lockstep_endpoint_from_env(&endpoint);
    return status == LOCKSTEP_STATUS_OK ? of_pointer(endpoint) : failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_endpointFromFile(JNIEnv *env, jclass type, jbyteArray path) {
    (void)type;
    char *name = text_of(env, path);
    if (name == NULL) return 0;
    lockstep_endpoint *endpoint = NULL;
    lockstep_status status = lockstep_endpoint_from_file(name, &endpoint);
    free(name);
    return status == LOCKSTEP_STATUS_OK ? of_pointer(endpoint) : failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_endpointCluster(JNIEnv *env, jclass type, jlong endpoint) {
    (void)env;
    (void)type;
    return (jlong)lockstep_endpoint_cluster((const lockstep_endpoint *)endpoint);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_endpointClose(JNIEnv *env, jclass type, jlong endpoint) {
    (void)env;
    (void)type;
    lockstep_endpoint *owned = (lockstep_endpoint *)endpoint;
    lockstep_endpoint_close(&owned);
}

/* ------------------------------------------------------------------------ all handles */

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_connect(JNIEnv *env, jclass type, jint kind, jlong endpoint,
                                                        jint delivery, jint start_kind, jlong seq, jlong history,
                                                        jlong next, jlong chain) {
    (void)type;
    const lockstep_endpoint *of = (const lockstep_endpoint *)endpoint;
    const lockstep_start start = {
        .kind = (uint32_t)start_kind,
        .seq = (uint64_t)seq,
        .cursor = {.history = (uint64_t)history, .seq = (uint64_t)next, .chain = (uint64_t)chain},
    };
    struct handle *handle = calloc(1, sizeof *handle);
    if (handle == NULL) {
        jclass error = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
        if (error != NULL) (*env)->ThrowNew(env, error, "a handle in native memory");
        return 0;
    }
    lockstep_status status =
        kind == PUBLISHER    ? lockstep_publisher_connect(of, &handle->of)
        : kind == SUBSCRIBER ? lockstep_subscriber_connect(of, &start, (uint32_t)delivery, &handle->of)
                             : lockstep_participant_connect(of, &start, (uint32_t)delivery, &handle->of);
    if (status == LOCKSTEP_STATUS_OK) return of_pointer(handle);
    free(handle);
    return failure(status);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_close(JNIEnv *env, jclass type, jlong address) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    lockstep_participant_close(&handle->of);
    free(handle);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_setMemory(JNIEnv *env, jclass type, jlong address, jobject rows,
                                                         jobject bytes) {
    (void)type;
    /* No use(): it is no new call for a batch, or a claim. */
    struct handle *handle = (struct handle *)address;
    handle->rows = (*env)->GetDirectBufferAddress(env, rows);
    handle->rows_size = (size_t)(*env)->GetDirectBufferCapacity(env, rows);
    handle->bytes = (*env)->GetDirectBufferAddress(env, bytes);
    handle->bytes_size = (size_t)(*env)->GetDirectBufferCapacity(env, bytes);
    store(handle);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_setClaims(JNIEnv *env, jclass type, jlong address, jobject claims) {
    (void)type;
    use(address)->claims = (*env)->GetDirectBufferAddress(env, claims);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_await(JNIEnv *env, jclass type, jlong address, jlong timeout) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    return lockstep_participant_wait(handle->of, (uint64_t)timeout);
}

GETTER(fd, fd)
GETTER(due, due)

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_poll(JNIEnv *env, jclass type, jlong address, jlong limit) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    jlong work = lockstep_participant_poll_batch(handle->of, (size_t)limit, &handle->batch);
    if (work >= 0) store(handle);
    return work;
}

/* ------------------------------------------------------------------------ events of open, begin and requests */

struct receiver {
    JNIEnv *env;
    jobject java;
    jmethodID on_event;
    struct handle *handle;
};

/* Stores one event, and calls Handle.onNativeEvent, which keeps what it throws for itself. Returns whether that ends a
 * request. */
static bool is_answer(void *context, const lockstep_event *event, const uint8_t *payload, uint64_t number) {
    const struct receiver *receiver = context;
    JNIEnv *env = receiver->env;
    if ((*env)->ExceptionCheck(env)) return true;
    receiver->handle->batch = (lockstep_batch){
        .events = event,
        .len = 1,
        .bytes = payload,
        .bytes_len = event->payload_len,
    };
    store(receiver->handle);
    return (*env)->CallBooleanMethod(env, receiver->java, receiver->on_event, (jlong)number) || (*env)->ExceptionCheck(env);
}

static bool on_event(void *context, const lockstep_event *event, const uint8_t *payload) {
    is_answer(context, event, payload, 0);
    return true;
}

static bool find_receiver(JNIEnv *env, jobject java, struct handle *handle, struct receiver *receiver) {
    jmethodID method = (*env)->GetMethodID(env, (*env)->GetObjectClass(env, java), "onNativeEvent", "(J)Z");
    *receiver = (struct receiver){.env = env, .java = java, .on_event = method, .handle = handle};
    return method != NULL;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_open(JNIEnv *env, jclass type, jlong address, jbyteArray name,
                                                     jlong timeout, jobject java) {
    (void)type;
    struct handle *handle = use(address);
    struct receiver receiver;
    uint32_t id = 0;
    if (!find_receiver(env, java, handle, &receiver)) return 0;
    char *text = text_of(env, name);
    if (text == NULL) return 0;
    lockstep_status status =
        lockstep_participant_open(handle->of, text, (uint64_t)timeout, on_event, &receiver, &id);
    free(text);
    handle->batch = (lockstep_batch){0};
    return number_or(status, id);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_begin(JNIEnv *env, jclass type, jlong address, jlong timeout,
                                                      jobject java) {
    (void)type;
    struct handle *handle = use(address);
    struct receiver receiver;
    if (!find_receiver(env, java, handle, &receiver)) return 0;
    lockstep_status status = lockstep_participant_begin(handle->of, (uint64_t)timeout, on_event, &receiver);
    handle->batch = (lockstep_batch){0};
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_request(JNIEnv *env, jclass type, jlong address, jint id,
                                                        jint destination, jbyteArray array, jlong timeout,
                                                        jobject java) {
    (void)type;
    struct handle *handle = use(address);
    struct receiver receiver;
    if (!find_receiver(env, java, handle, &receiver)) return 0;
    jint len = (*env)->GetArrayLength(env, array);
    uint8_t *payload = copy_of(env, array, 0, len);
    if (payload == NULL) return 0;
    lockstep_status status =
        lockstep_participant_request(handle->of, (uint32_t)id, payload, (size_t)len, (uint32_t)destination,
                                     (uint64_t)timeout, is_answer, &receiver, NULL);
    free(payload);
    handle->batch = (lockstep_batch){0};
    return failure(status);
}

/* ------------------------------------------------------------------------ those that publish */

static jlong publish(struct handle *handle, jint id, jint destination, const uint8_t *payload, jint len) {
    uint64_t number = 0;
    lockstep_status status = lockstep_participant_publish(handle->of, (uint32_t)id, payload, (size_t)len, (uint32_t)destination, &number);
    return number_or(status, number);
}

static jlong publish_at(struct handle *handle, jint id, jlong number, jint destination, const uint8_t *payload,
                        jint len) {
    lockstep_status status =
        lockstep_participant_publish_at(handle->of, (uint32_t)id, (uint64_t)number, payload, (size_t)len, (uint32_t)destination);
    return number_or(status, (uint64_t)number);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_publishArray(JNIEnv *env, jclass type, jlong address, jint id,
                                                             jint destination, jbyteArray array, jint offset,
                                                             jint len) {
    (void)type;
    struct handle *handle = use(address);
    if (len <= STACK_BYTES) {
        uint8_t payload[STACK_BYTES];
        (*env)->GetByteArrayRegion(env, array, offset, len, (jbyte *)payload);
        return publish(handle, id, destination, payload, len);
    }
    uint8_t *payload = copy_of(env, array, offset, len);
    if (payload == NULL) return 0;
    jlong result = publish(handle, id, destination, payload, len);
    free(payload);
    return result;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_publishDirect(JNIEnv *env, jclass type, jlong address, jint id,
                                                              jint destination, jobject buffer, jint offset,
                                                              jint len) {
    (void)type;
    const uint8_t *memory = (*env)->GetDirectBufferAddress(env, buffer);
    return publish(use(address), id, destination, memory + offset, len);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_publishArrayAt(JNIEnv *env, jclass type, jlong address, jint id,
                                                               jlong number, jint destination, jbyteArray array,
                                                               jint offset, jint len) {
    (void)type;
    struct handle *handle = use(address);
    uint8_t *payload = copy_of(env, array, offset, len);
    if (payload == NULL) return 0;
    jlong result = publish_at(handle, id, number, destination, payload, len);
    free(payload);
    return result;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_publishDirectAt(JNIEnv *env, jclass type, jlong address, jint id,
                                                                jlong number, jint destination, jobject buffer,
                                                                jint offset, jint len) {
    (void)type;
    const uint8_t *memory = (*env)->GetDirectBufferAddress(env, buffer);
    return publish_at(use(address), id, number, destination, memory + offset, len);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_claim(JNIEnv *env, jclass type, jlong address, jint id,
                                                      jint destination, jint len) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    uint64_t number = 0;
    uint8_t *memory = NULL;
    lockstep_status status = lockstep_participant_claim(handle->of, (uint32_t)id, &memory, (size_t)len, (uint32_t)destination, &number);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    memset(handle->claims, 0, (size_t)len);
    handle->claimed = memory;
    handle->claimed_len = (size_t)len;
    return (jlong)number;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_closeName(JNIEnv *env, jclass type, jlong address, jint id,
                                                          jbyteArray reason) {
    (void)type;
    struct handle *handle = use(address);
    jint len = (*env)->GetArrayLength(env, reason);
    uint8_t *text = copy_of(env, reason, 0, len);
    if (text == NULL) return 0;
    lockstep_status status = lockstep_participant_close_name(handle->of, (uint32_t)id, text, (size_t)len);
    free(text);
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_startDay(JNIEnv *env, jclass type, jlong address, jint id,
                                                         jbyteArray day) {
    (void)type;
    struct handle *handle = use(address);
    char *name = text_of(env, day);
    if (name == NULL) return 0;
    uint64_t number = 0;
    lockstep_status status = lockstep_participant_start_day(handle->of, (uint32_t)id, name, &number);
    free(name);
    return number_or(status, number);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_endDay(JNIEnv *env, jclass type, jlong address, jint id) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    uint64_t number = 0;
    lockstep_status status = lockstep_participant_end_day(handle->of, (uint32_t)id, &number);
    return number_or(status, number);
}

GETTER(flush, flush)
GETTER(isDrained, is_drained)

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_outcomes(JNIEnv *env, jclass type, jlong address, jlongArray out) {
    (void)type;
    struct handle *handle = use(address);
    lockstep_outcomes counts;
    lockstep_status status = lockstep_participant_outcomes(handle->of, &counts);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    const jlong numbers[] = {(jlong)counts.committed, (jlong)counts.discarded, (jlong)counts.diverged,
                             (jlong)counts.fenced,    (jlong)counts.closed,    (jlong)counts.unknown,
                             (jlong)counts.open};
    (*env)->SetLongArrayRegion(env, out, 0, sizeof(numbers) / sizeof *numbers, numbers);
    return 0;
}

GETTER(isConnected, is_connected)

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_messageLenMax(JNIEnv *env, jclass type, jlong address,
                                                                 jint destination) {
    (void)env;
    (void)type;
    struct handle *handle = use(address);
    return lockstep_participant_message_len_max(handle->of, (uint32_t)destination);
}

GETTER(claimLenMax, claim_len_max)

/* ------------------------------------------------------------------------ those that read */

GETTER(deliverNext, deliver_next)
GETTER(commitNext, commit_next)
GETTER(isEnded, is_ended)

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_cursor(JNIEnv *env, jclass type, jlong address, jlongArray out) {
    (void)type;
    struct handle *handle = use(address);
    lockstep_cursor cursor;
    jlong result = lockstep_participant_cursor(handle->of, &cursor);
    if (result == 1) set_cursor(env, out, &cursor);
    return result;
}

/* ------------------------------------------------------------------------ the merged order of a set */

struct merged {
    lockstep_merged_subscriber *of;
    struct handle memory;         /* of the rows and payloads alone */
    const lockstep_place *places; /* of the last poll */
    uint8_t *java_places;         /* Java's: as many as rows */
};

_Static_assert(sizeof(lockstep_place) == 24, "class MergedEvent reads places of 24 bytes");

static void store_merged(const struct merged *merged) {
    size_t count = merged->memory.batch.len;
    store(&merged->memory);
    if (count == 0 || (count + 1) * sizeof(lockstep_event) > merged->memory.rows_size) return;
    memcpy(merged->java_places, merged->places, count * sizeof *merged->places);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedConnect(JNIEnv *env, jclass type, jbyteArray path,
                                                              jbyteArray start, jlong timeout) {
    (void)type;
    struct merged *merged = calloc(1, sizeof *merged);
    char *name = path == NULL ? NULL : text_of(env, path);
    char *begin = text_of(env, start);
    lockstep_status status = LOCKSTEP_STATUS_OK;
    bool has_memory = merged != NULL && begin != NULL && (path == NULL || name != NULL);
    if (has_memory) status = lockstep_merged_subscriber_connect(name, begin, (uint64_t)timeout, &merged->of);
    free(name);
    free(begin);
    if (has_memory && status == LOCKSTEP_STATUS_OK) return of_pointer(merged);
    if (merged == NULL && !(*env)->ExceptionCheck(env)) {
        jclass error = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
        if (error != NULL) (*env)->ThrowNew(env, error, "a handle in native memory");
    }
    free(merged);
    return failure(status);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_mergedClose(JNIEnv *env, jclass type, jlong address) {
    (void)env;
    (void)type;
    struct merged *merged = (struct merged *)address;
    lockstep_merged_subscriber_close(&merged->of);
    free(merged);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_mergedSetMemory(JNIEnv *env, jclass type, jlong address, jobject rows,
                                                               jobject bytes, jobject places) {
    (void)type;
    struct merged *merged = (struct merged *)address;
    merged->memory.rows = (*env)->GetDirectBufferAddress(env, rows);
    merged->memory.rows_size = (size_t)(*env)->GetDirectBufferCapacity(env, rows);
    merged->memory.bytes = (*env)->GetDirectBufferAddress(env, bytes);
    merged->memory.bytes_size = (size_t)(*env)->GetDirectBufferCapacity(env, bytes);
    merged->java_places = (*env)->GetDirectBufferAddress(env, places);
    store_merged(merged);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedPoll(JNIEnv *env, jclass type, jlong address, jlong limit) {
    (void)env;
    (void)type;
    struct merged *merged = (struct merged *)address;
    lockstep_merged_batch batch = {0};
    jlong work = lockstep_merged_subscriber_poll_batch(merged->of, (size_t)limit, &batch);
    merged->memory.batch = batch.batch;
    merged->places = batch.places;
    if (work >= 0) store_merged(merged);
    return work;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedAwait(JNIEnv *env, jclass type, jlong address, jlong timeout) {
    (void)env;
    (void)type;
    return lockstep_merged_subscriber_wait(((struct merged *)address)->of, (uint64_t)timeout);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedCursor(JNIEnv *env, jclass type, jlong address,
                                                             jobjectArray out) {
    (void)type;
    const char *text = NULL;
    lockstep_status status = lockstep_merged_subscriber_cursor(((struct merged *)address)->of, &text);
    if (status == LOCKSTEP_STATUS_OK) (*env)->SetObjectArrayElement(env, out, 0, new_text(env, text));
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedNextNumber(JNIEnv *env, jclass type, jlong address) {
    (void)env;
    (void)type;
    return lockstep_merged_subscriber_next_number(((struct merged *)address)->of);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_mergedIsEnded(JNIEnv *env, jclass type, jlong address) {
    (void)env;
    (void)type;
    return lockstep_merged_subscriber_is_ended(((struct merged *)address)->of);
}

JNIEXPORT jbyteArray JNICALL Java_io_lockstep_Native_mergedStreamName(JNIEnv *env, jclass type, jlong address,
                                                                      jlong stream) {
    (void)type;
    return new_text(env, lockstep_merged_subscriber_stream_name(((struct merged *)address)->of, (uint64_t)stream));
}
