package io.lockstep;

import java.nio.ByteBuffer;

/** Collects the effects of an input, in order, while it is applied: a call behind that is refused. */
public final class Output {
    // As lockstep_machine_jni.c has them: kinds, and the bytes of a row.
    private static final int PUBLISH = 0;
    private static final int TIMER_AT = 1;
    private static final int TIMER_AFTER = 2;
    private static final int CANCEL = 3;
    private static final int ROW = 24;
    /** The bytes that count those which are used. */
    private static final int HEAD = 8;
    private static final byte[] NO_BYTES = {};

    /** Effects that the native side has not got yet. */
    private final ByteBuffer effects;
    /** Bytes of them that are used; the native side reads it at their begin. */
    private int used = HEAD;
    /** That of the native side; 0: none is being applied. */
    private long address;

    Output(ByteBuffer effects) {
        this.effects = effects;
    }

    void begin(long of) {
        address = of;
        used = HEAD;
    }

    void end() {
        effects.putLong(0, used);
        address = 0;
    }

    /**
     * Publishes a message: it is in the stream once, whichever copies of the machine run.
     *
     * @param payload its content
     * @param destination {@link PublishingHandle#EVERYBODY}, a publisher, or a channel from
     *     {@link Lockstep#CHANNELS} on
     */
    public void publish(byte[] payload, int destination) {
        add(PUBLISH, destination, 0, payload);
    }

    /**
     * Publishes a message to everybody: it is in the stream once, whichever copies of the machine run.
     *
     * @param payload its content
     */
    public void publish(byte[] payload) {
        publish(payload, PublishingHandle.EVERYBODY);
    }

    /**
     * Sets a timer by the stream's time. It comes back as an input, once, and never earlier; one with this key that is
     * pending is replaced.
     *
     * @param key its key
     * @param at when it is due, nanoseconds since the Unix epoch
     * @param payload what comes back with it
     */
    public void timerAt(long key, long at, byte[] payload) {
        add(TIMER_AT, key, at, payload);
    }

    /**
     * Sets a timer by the stream's time, which comes back without a payload.
     *
     * @param key its key
     * @param at when it is due, nanoseconds since the Unix epoch
     */
    public void timerAt(long key, long at) {
        timerAt(key, at, NO_BYTES);
    }

    /**
     * Sets a timer that is due so long behind the input.
     *
     * @param key its key
     * @param after nanoseconds
     * @param payload what comes back with it
     */
    public void timerAfter(long key, long after, byte[] payload) {
        add(TIMER_AFTER, key, after, payload);
    }

    /**
     * Sets a timer that is due so long behind the input, and comes back without a payload.
     *
     * @param key its key
     * @param after nanoseconds
     */
    public void timerAfter(long key, long after) {
        timerAfter(key, after, NO_BYTES);
    }

    /**
     * Cancels a timer, if it is pending.
     *
     * @param key its key
     */
    public void cancel(long key) {
        add(CANCEL, key, 0, NO_BYTES);
    }

    private void add(int kind, long key, long at, byte[] payload) {
        if (address == 0) {
            throw new LockstepException(Status.CLOSED_HANDLE,
                    "the input of this output was applied before: an output takes effects within apply alone");
        }
        if (payload.length > effects.capacity() - ROW - used) {
            effects.putLong(0, used);
            used = HEAD;
            checked(Native.outputReplay(address, effects));
        }
        if (payload.length > effects.capacity() - ROW - used) {
            checked(Native.outputAdd(address, kind, key, at, payload));
            return;
        }
        effects.putLong(used, key);
        effects.putLong(used + 8, at);
        effects.putInt(used + 16, kind);
        effects.putInt(used + 20, payload.length);
        if (payload.length > 0) {
            effects.put(used + ROW, payload);
        }
        used += ROW + payload.length;
    }

    private static void checked(long result) {
        if (result < 0) {
            throw LockstepException.last(result);
        }
    }
}
