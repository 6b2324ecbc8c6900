/* The native side of bindings/java: state machines. A machine of Java is a number of class Machines, which the library has
 * as its pointer; a callback calls the method of Machines with the name of the function, in the thread that is in a call
 * of the replica, and what a machine throws waits there. */
#include "io_lockstep_Native.h"

#include <lockstep.h>
#include <stdlib.h>
#include <string.h>

/* Behind a failure of the virtual machine itself: no memory is left. */
static int32_t no_memory(JNIEnv *env) {
    (*env)->ExceptionClear(env);
    return lockstep_fail("the virtual machine of Java has no memory left");
}

/* The numbers of an input, at the begin of Machines.input, with the number of the machine and the address of the output,
 * as an argument of a call costs more than its place in here; the payload and the user follow, where they have room. */
struct input_row {
    int64_t seq, time, publisher_seq, key, due, value, machine, output;
    int32_t kind, publisher, destination, detail, payload_len, user_len;
};

/* An effect in Machines.effects, behind how many bytes of it are used; its payload follows. */
struct effect_row {
    int64_t key, at;
    int32_t kind, len;
};
_Static_assert(sizeof(struct input_row) == 88, "Machines.ROW");
_Static_assert(sizeof(struct effect_row) == 24, "Output.ROW");
enum { PUBLISH, TIMER_AT, TIMER_AFTER, CANCEL };

/* Memory of a direct buffer of Java. */
struct room {
    uint8_t *bytes;
    size_t len;
};

struct kit {
    JNIEnv *env; /* of the thread that is in a call of the handle: callbacks run in no other */
    jobject machines; /* a global reference */
    struct room input, effects;
    jmethodID create, restore, apply, apply_large, snapshot, query, settings, state_text, message, judge, destroy;
    jfieldID number, bytes;
    lockstep_machine table;
};

struct app {
    struct kit kit;
    lockstep_app *app;
};

/* A machine: its number, and whose it is. */
struct machine {
    struct kit *kit;
    jlong number;
};

/* The replica behind an address, in a call of this thread. */
static lockstep_app *entered(JNIEnv *env, jlong address) {
    struct app *app = (struct app *)address;
    app->kit.env = env;
    return app->app;
}

/* What a method of Machines has returned: null, or why it has failed. */
static int32_t outcome(JNIEnv *env, jobject why) {
    if ((*env)->ExceptionCheck(env)) return no_memory(env);
    if (why == NULL) return LOCKSTEP_STATUS_OK;
    jbyte *text = (*env)->GetByteArrayElements(env, why, NULL);
    if (text == NULL) return no_memory(env);
    const int32_t status = lockstep_fail((const char *)text);
    (*env)->ReleaseByteArrayElements(env, why, text, JNI_ABORT);
    (*env)->DeleteLocalRef(env, why);
    return status;
}

/* The same of a method that leaves its result in Machines.bytes. */
static int32_t bytes_outcome(const struct kit *kit, JNIEnv *env, jobject why, lockstep_sink *out) {
    const int32_t status = outcome(env, why);
    if (status != LOCKSTEP_STATUS_OK) return status;
    jbyteArray array = (*env)->GetObjectField(env, kit->machines, kit->bytes);
    const jsize len = (*env)->GetArrayLength(env, array);
    jbyte *bytes = (*env)->GetByteArrayElements(env, array, NULL);
    if (bytes == NULL) return no_memory(env);
    lockstep_sink_write(out, (const uint8_t *)bytes, (size_t)len);
    (*env)->ReleaseByteArrayElements(env, array, bytes, JNI_ABORT);
    (*env)->DeleteLocalRef(env, array);
    return LOCKSTEP_STATUS_OK;
}

/* A new array; NULL where there are no bytes, or no memory. */
static jbyteArray new_bytes(JNIEnv *env, const uint8_t *bytes, size_t len) {
    jbyteArray array = (*env)->NewByteArray(env, (jsize)len);
    if (array != NULL && len > 0) (*env)->SetByteArrayRegion(env, array, 0, (jsize)len, (const jbyte *)bytes);
    return array;
}

static int32_t made(struct kit *kit, JNIEnv *env, jobject why, void **place) {
    const int32_t status = outcome(env, why);
    if (status != LOCKSTEP_STATUS_OK) return status;
    struct machine *machine = malloc(sizeof *machine);
    if (machine == NULL) return lockstep_fail("no memory is left for a machine");
    *machine = (struct machine){.kit = kit, .number = (*env)->GetLongField(env, kit->machines, kit->number)};
    *place = machine;
    return LOCKSTEP_STATUS_OK;
}

static int32_t create(void *context, void **place) {
    struct kit *kit = context;
    JNIEnv *env = kit->env;
    return made(kit, env, (*env)->CallObjectMethod(env, kit->machines, kit->create), place);
}

static int32_t restore(void *context, const uint8_t *state, size_t len, void **place) {
    struct kit *kit = context;
    JNIEnv *env = kit->env;
    jbyteArray bytes = new_bytes(env, state, len);
    if (bytes == NULL) return no_memory(env);
    const int32_t status = made(kit, env, (*env)->CallObjectMethod(env, kit->machines, kit->restore, bytes), place);
    (*env)->DeleteLocalRef(env, bytes);
    return status;
}

static lockstep_status add(lockstep_output *output, struct effect_row row, const uint8_t *payload) {
    const size_t len = (size_t)row.len;
    switch (row.kind) {
    case PUBLISH: return lockstep_output_publish(output, payload, len, (uint32_t)row.key);
    case TIMER_AT: return lockstep_output_timer_at(output, (uint64_t)row.key, (uint64_t)row.at, payload, len);
    case TIMER_AFTER: return lockstep_output_timer_after(output, (uint64_t)row.key, (uint64_t)row.at, payload, len);
    default: return lockstep_output_cancel(output, (uint64_t)row.key);
    }
}

/* Hands on what Java has put into Machines.effects. */
static lockstep_status replay(const uint8_t *effects, lockstep_output *output) {
    int64_t used = 0;
    memcpy(&used, effects, sizeof used);
    lockstep_status status = LOCKSTEP_STATUS_OK;
    for (size_t at = sizeof used; at < (size_t)used && status == LOCKSTEP_STATUS_OK;) {
        struct effect_row row;
        memcpy(&row, effects + at, sizeof row);
        status = add(output, row, effects + at + sizeof row);
        at += sizeof row + (size_t)row.len;
    }
    return status;
}

static int32_t apply(void *of, const lockstep_input *row, lockstep_output *output) {
    const struct machine *machine = of;
    const struct kit *kit = machine->kit;
    JNIEnv *env = kit->env;
    const struct input_row numbers = {
        .seq = (int64_t)row->seq,
        .time = (int64_t)row->time,
        .publisher_seq = (int64_t)row->publisher_seq,
        .key = (int64_t)row->key,
        .due = (int64_t)row->due,
        .value = (int64_t)row->value,
        .machine = machine->number,
        .output = (int64_t)(intptr_t)output,
        .kind = (int32_t)row->kind,
        .publisher = (int32_t)row->publisher,
        .destination = (int32_t)row->destination,
        .detail = (int32_t)row->detail,
        .payload_len = (int32_t)row->payload_len,
        .user_len = row->user == NULL ? -1 : (int32_t)row->user_len,
    };
    memcpy(kit->input.bytes, &numbers, sizeof numbers);
    uint8_t *rest = kit->input.bytes + sizeof numbers;
    int32_t status;
    if (sizeof numbers + row->payload_len + row->user_len <= kit->input.len) {
        if (row->payload_len > 0) memcpy(rest, row->payload, row->payload_len);
        if (row->user_len > 0) memcpy(rest + row->payload_len, row->user, row->user_len);
        status = outcome(env, (*env)->CallObjectMethodA(env, kit->machines, kit->apply, NULL));
    } else {
        jbyteArray payload = new_bytes(env, row->payload, row->payload_len);
        jbyteArray user = row->user == NULL ? NULL : new_bytes(env, row->user, row->user_len);
        if (payload == NULL || (row->user != NULL && user == NULL)) return no_memory(env);
        status = outcome(env, (*env)->CallObjectMethod(env, kit->machines, kit->apply_large, payload, user));
        if (user != NULL) (*env)->DeleteLocalRef(env, user);
        (*env)->DeleteLocalRef(env, payload);
    }
    if (status != LOCKSTEP_STATUS_OK) return status;
    return (int32_t)replay(kit->effects.bytes, output);
}

static int32_t snapshot(const void *of, lockstep_sink *out) {
    const struct machine *machine = of;
    JNIEnv *env = machine->kit->env;
    jobject why = (*env)->CallObjectMethod(env, machine->kit->machines, machine->kit->snapshot, machine->number);
    return bytes_outcome(machine->kit, env, why, out);
}

static int32_t query(const void *of, const uint8_t *request, size_t len, lockstep_sink *out) {
    const struct machine *machine = of;
    const struct kit *kit = machine->kit;
    JNIEnv *env = kit->env;
    jbyteArray bytes = new_bytes(env, request, len);
    if (bytes == NULL) return no_memory(env);
    jobject why = (*env)->CallObjectMethod(env, kit->machines, kit->query, machine->number, bytes);
    const int32_t status = bytes_outcome(kit, env, why, out);
    (*env)->DeleteLocalRef(env, bytes);
    return status;
}

static int32_t settings(const void *of, lockstep_sink *out) {
    const struct machine *machine = of;
    JNIEnv *env = machine->kit->env;
    jobject why = (*env)->CallObjectMethod(env, machine->kit->machines, machine->kit->settings, machine->number);
    return bytes_outcome(machine->kit, env, why, out);
}

static int32_t state_text(const void *of, lockstep_sink *out) {
    const struct machine *machine = of;
    JNIEnv *env = machine->kit->env;
    jobject why = (*env)->CallObjectMethod(env, machine->kit->machines, machine->kit->state_text, machine->number);
    return bytes_outcome(machine->kit, env, why, out);
}

static void destroy(void *of) {
    struct machine *machine = of;
    JNIEnv *env = machine->kit->env;
    (*env)->CallVoidMethod(env, machine->kit->machines, machine->kit->destroy, machine->number);
    /* Nobody waits for a failure of an end. */
    if ((*env)->ExceptionCheck(env)) (*env)->ExceptionClear(env);
    free(machine);
}

static int32_t message(void *context, uint64_t user, uint64_t number, lockstep_sink *out) {
    struct kit *kit = context;
    JNIEnv *env = kit->env;
    jobject why = (*env)->CallObjectMethod(env, kit->machines, kit->message, (jlong)user, (jlong)number);
    return bytes_outcome(kit, env, why, out);
}

static int32_t judge(void *context, const void *of) {
    struct kit *kit = context;
    JNIEnv *env = kit->env;
    const struct machine *machine = of;
    return outcome(env, (*env)->CallObjectMethod(env, kit->machines, kit->judge, machine->number));
}

/* The memory of a field of Machines that is a direct buffer; without any: an exception is pending. */
static struct room room_of(JNIEnv *env, jclass class, jobject machines, const char *name) {
    struct room room = {0};
    jfieldID field = (*env)->GetFieldID(env, class, name, "Ljava/nio/ByteBuffer;");
    if (field == NULL) return room;
    jobject buffer = (*env)->GetObjectField(env, machines, field);
    room.bytes = (*env)->GetDirectBufferAddress(env, buffer);
    room.len = (size_t)(*env)->GetDirectBufferCapacity(env, buffer);
    return room;
}

/* Finds the methods of Machines; false: an exception is pending. */
static bool begin(struct kit *kit, JNIEnv *env, jobject machines, jint version) {
    kit->env = env;
    jclass class = (*env)->GetObjectClass(env, machines);
    const struct {
        jmethodID *id;
        const char *name, *signature;
    } methods[] = {
        {&kit->create, "create", "()[B"},
        {&kit->restore, "restore", "([B)[B"},
        {&kit->apply, "apply", "()[B"},
        {&kit->apply_large, "apply", "([B[B)[B"},
        {&kit->snapshot, "snapshot", "(J)[B"},
        {&kit->query, "query", "(J[B)[B"},
        {&kit->settings, "settings", "(J)[B"},
        {&kit->state_text, "stateText", "(J)[B"},
        {&kit->message, "message", "(JJ)[B"},
        {&kit->judge, "judge", "(J)[B"},
        {&kit->destroy, "destroy", "(J)V"},
    };
    for (size_t at = 0; at < sizeof(methods) / sizeof *methods; at++) {
        *methods[at].id = (*env)->GetMethodID(env, class, methods[at].name, methods[at].signature);
        if (*methods[at].id == NULL) return false;
    }
    kit->number = (*env)->GetFieldID(env, class, "number", "J");
    kit->bytes = kit->number == NULL ? NULL : (*env)->GetFieldID(env, class, "bytes", "[B");
    if (kit->bytes == NULL) return false;
    kit->input = room_of(env, class, machines, "input");
    kit->effects = room_of(env, class, machines, "effects");
    if (kit->input.bytes == NULL || kit->effects.bytes == NULL) return false;
    kit->machines = (*env)->NewGlobalRef(env, machines);
    kit->table = (lockstep_machine){
        .version = (uint32_t)version,
        .context = kit,
        .create = create,
        .restore = restore,
        .apply = apply,
        .snapshot = snapshot,
        .destroy = destroy,
        .query = query,
        .settings = settings,
        .state_text = state_text,
    };
    return kit->machines != NULL;
}

/* ------------------------------------------------------------------------ outputs */

static jlong failure(lockstep_status status) { return -(jlong)status; }

/* Hands on the effects of a Machines.effects that has no more room. */
JNIEXPORT jlong JNICALL Java_io_lockstep_Native_outputReplay(JNIEnv *env, jclass type, jlong output, jobject effects) {
    (void)type;
    return failure(replay((*env)->GetDirectBufferAddress(env, effects), (lockstep_output *)output));
}

/* An effect that is larger than Machines.effects. */
JNIEXPORT jlong JNICALL Java_io_lockstep_Native_outputAdd(JNIEnv *env, jclass type, jlong output, jint kind, jlong key,
                                                          jlong at, jbyteArray payload) {
    (void)type;
    const struct effect_row row = {.key = key, .at = at, .kind = kind, .len = (*env)->GetArrayLength(env, payload)};
    jbyte *elements = (*env)->GetByteArrayElements(env, payload, NULL);
    if (elements == NULL) return 0;
    const lockstep_status status = add((lockstep_output *)output, row, (const uint8_t *)elements);
    (*env)->ReleaseByteArrayElements(env, payload, elements, JNI_ABORT);
    return failure(status);
}

/* ------------------------------------------------------------------------ replicas */

/* A text of Java, which ends with 0; NULL for null, or without memory. */
static char *text_of(JNIEnv *env, jbyteArray text) {
    if (text == NULL) return NULL;
    const jsize len = (*env)->GetArrayLength(env, text);
    char *copy = malloc((size_t)len + 1);
    if (copy == NULL) return NULL;
    (*env)->GetByteArrayRegion(env, text, 0, len, (jbyte *)copy);
    copy[len] = 0;
    return copy;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appOpen(JNIEnv *env, jclass type, jlong endpoint, jobject machines,
                                                        jint version, jbyteArray name, jbyteArray folder,
                                                        jbyteArray serve, jbyteArray hosts, jbyteArray peers,
                                                        jlongArray numbers) {
    (void)type;
    struct app *app = calloc(1, sizeof *app);
    if (app == NULL || !begin(&app->kit, env, machines, version)) {
        free(app);
        return 0;
    }
    jlong of[10];
    (*env)->GetLongArrayRegion(env, numbers, 0, 10, of);
    char *texts[] = {text_of(env, name), text_of(env, folder), text_of(env, serve), text_of(env, hosts),
                     text_of(env, peers)};
    lockstep_app_settings settings;
    lockstep_status status = lockstep_app_settings_init(texts[0], (uint32_t)of[0], texts[1], &settings);
    if (status == LOCKSTEP_STATUS_OK) {
        settings.serve = texts[2];
        settings.hosts = texts[3];
        settings.peers = texts[4];
        settings.digest_every = (uint64_t)of[1];
        settings.snapshot_every = (uint64_t)of[2];
        settings.snapshots = (uint64_t)of[3];
        settings.snapshot_age_ns = (uint64_t)of[4];
        settings.proof_wait_ns = (uint64_t)of[5];
        settings.delivery = (uint32_t)of[6];
        settings.snapshot_mode = of[7] ? LOCKSTEP_SNAPSHOT_MODE_PAUSE : LOCKSTEP_SNAPSHOT_MODE_NEVER;
        settings.on_divergence = of[8] ? LOCKSTEP_ON_DIVERGENCE_STOP : LOCKSTEP_ON_DIVERGENCE_REPORT;
        settings.is_shadow = of[9] != 0;
        status = lockstep_app_open((const lockstep_endpoint *)endpoint, &settings, &app->kit.table, &app->app);
    }
    for (size_t at = 0; at < sizeof(texts) / sizeof *texts; at++) free(texts[at]);
    if (status == LOCKSTEP_STATUS_OK) return (jlong)app;
    (*env)->DeleteGlobalRef(env, app->kit.machines);
    free(app);
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_debug(JNIEnv *env, jclass type, jlong endpoint, jobject machines,
                                                      jint version, jbyteArray name, jbyteArray folder) {
    (void)type;
    struct kit kit;
    if (!begin(&kit, env, machines, version)) return 0;
    char *texts[] = {text_of(env, name), text_of(env, folder)};
    lockstep_app_settings settings;
    lockstep_status status = lockstep_app_settings_init(texts[0], 1, texts[1], &settings);
    if (status == LOCKSTEP_STATUS_OK) {
        status = lockstep_debug((const lockstep_endpoint *)endpoint, &settings, &kit.table);
    }
    for (size_t at = 0; at < sizeof(texts) / sizeof *texts; at++) free(texts[at]);
    (*env)->DeleteGlobalRef(env, kit.machines);
    return failure(status);
}

JNIEXPORT void JNICALL Java_io_lockstep_Native_appClose(JNIEnv *env, jclass type, jlong address) {
    (void)type;
    struct app *app = (struct app *)address;
    app->kit.env = env;
    lockstep_app_close(&app->app);
    (*env)->DeleteGlobalRef(env, app->kit.machines);
    free(app);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appTurn(JNIEnv *env, jclass type, jlong address) {
    (void)type;
    return lockstep_app_turn(entered(env, address));
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appAwait(JNIEnv *env, jclass type, jlong address, jlong timeout) {
    (void)type;
    return failure(lockstep_app_wait(entered(env, address), (uint64_t)timeout));
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appLook(JNIEnv *env, jclass type, jlong address, jlongArray out) {
    (void)type;
    lockstep_app_state state;
    const lockstep_status status = lockstep_app_look(entered(env, address), &state);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    const jlong numbers[] = {(jlong)state.next,  (jlong)state.time,  (jlong)state.saved_next, (jlong)state.partings,
                             state.is_caught_up, state.is_shadow, state.is_drained};
    (*env)->SetLongArrayRegion(env, out, 0, sizeof(numbers) / sizeof *numbers, numbers);
    return 0;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appDigest(JNIEnv *env, jclass type, jlong address, jlongArray out) {
    (void)type;
    uint64_t digest = 0;
    const lockstep_status status = lockstep_app_digest(entered(env, address), &digest);
    const jlong number = (jlong)digest;
    (*env)->SetLongArrayRegion(env, out, 0, 1, &number);
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appTakeOver(JNIEnv *env, jclass type, jlong address) {
    (void)type;
    return lockstep_app_take_over(entered(env, address));
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_appMachine(JNIEnv *env, jclass type, jlong address) {
    (void)type;
    const void *machine = NULL;
    const lockstep_status status = lockstep_app_machine(entered(env, address), &machine);
    if (status != LOCKSTEP_STATUS_OK) return failure(status);
    return machine == NULL ? 0 : ((const struct machine *)machine)->number;
}

/* ------------------------------------------------------------------------ a trial */

/* Hands a report out. */
static jlong reported(JNIEnv *env, lockstep_status status, const lockstep_trial_report *report, jlongArray out) {
    _Static_assert(sizeof *report == 14 * sizeof(jlong), "record Trial.Report has 14 numbers");
    if (status == LOCKSTEP_STATUS_OK) (*env)->SetLongArrayRegion(env, out, 0, 14, (const jlong *)report);
    return failure(status);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_trial(JNIEnv *env, jclass type, jobject machines, jint version,
                                                      jlongArray numbers, jboolean has_messages,
                                                      jboolean has_invariant, jlongArray out) {
    (void)type;
    struct kit kit;
    if (!begin(&kit, env, machines, version)) return 0;
    jlong of[3];
    (*env)->GetLongArrayRegion(env, numbers, 0, 3, of);
    const lockstep_trial_plan plan = {
        .seeds = (uint64_t)of[0],
        .first = (uint64_t)of[1],
        .repeated = (uint64_t)of[2],
        .context = &kit,
        .message = has_messages ? message : NULL,
        .invariant = has_invariant ? judge : NULL,
    };
    lockstep_trial_report report;
    const lockstep_status status = lockstep_trial(&kit.table, &plan, &report);
    (*env)->DeleteGlobalRef(env, kit.machines);
    return reported(env, status, &report, out);
}

/* The bytes of an array of Java in memory of their own; NULL of null, or without memory. */
static uint8_t *copy_at(JNIEnv *env, jobjectArray arrays, jsize at, size_t *len) {
    jbyteArray array = (*env)->GetObjectArrayElement(env, arrays, at);
    *len = array == NULL ? 0 : (size_t)(*env)->GetArrayLength(env, array);
    uint8_t *copy = array == NULL ? NULL : malloc(*len + 1);
    if (copy != NULL) (*env)->GetByteArrayRegion(env, array, 0, (jsize)*len, (jbyte *)copy);
    if (array != NULL) (*env)->DeleteLocalRef(env, array);
    return copy;
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_twice(JNIEnv *env, jclass type, jobject machines, jint version,
                                                      jlongArray numbers, jobjectArray payloads, jobjectArray users,
                                                      jlong every, jboolean has_invariant, jlongArray out) {
    (void)type;
    const jsize len = (*env)->GetArrayLength(env, payloads);
    struct kit kit;
    lockstep_input *inputs = calloc((size_t)len + 1, sizeof *inputs);
    if (inputs == NULL || !begin(&kit, env, machines, version)) {
        free(inputs);
        return 0;
    }
    for (jsize at = 0; at < len; at++) {
        jlong of[10];
        (*env)->GetLongArrayRegion(env, numbers, at * 10, 10, of);
        lockstep_input *row = &inputs[at];
        row->kind = (uint32_t)of[0];
        row->seq = (uint64_t)of[1];
        row->time = (uint64_t)of[2];
        row->publisher = (uint32_t)of[3];
        row->publisher_seq = (uint64_t)of[4];
        row->destination = (uint32_t)of[5];
        row->key = (uint64_t)of[6];
        row->due = (uint64_t)of[7];
        row->value = (uint64_t)of[8];
        row->detail = (uint32_t)of[9];
        row->payload = copy_at(env, payloads, at, &row->payload_len);
        row->user = copy_at(env, users, at, &row->user_len);
    }
    const lockstep_trial_plan plan = {.context = &kit, .invariant = has_invariant ? judge : NULL};
    lockstep_trial_report report;
    const lockstep_status status =
        lockstep_twice(&kit.table, inputs, (size_t)len, (uint64_t)every, &plan, &report);
    for (jsize at = 0; at < len; at++) {
        free((void *)inputs[at].payload);
        free((void *)inputs[at].user);
    }
    free(inputs);
    (*env)->DeleteGlobalRef(env, kit.machines);
    return reported(env, status, &report, out);
}

JNIEXPORT jlong JNICALL Java_io_lockstep_Native_applyCost(JNIEnv *env, jclass type, jobject machines, jint version,
                                                          jlong messages, jdoubleArray out) {
    (void)type;
    struct kit kit;
    if (machines != NULL && !begin(&kit, env, machines, version)) return 0;
    jdouble cost = 0;
    const lockstep_status status = lockstep_apply_cost(machines == NULL ? NULL : &kit.table, (uint64_t)messages, &cost);
    if (machines != NULL) (*env)->DeleteGlobalRef(env, kit.machines);
    if (status == LOCKSTEP_STATUS_OK) (*env)->SetDoubleArrayRegion(env, out, 0, 1, &cost);
    return failure(status);
}
