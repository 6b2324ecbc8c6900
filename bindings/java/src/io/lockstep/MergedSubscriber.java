package io.lockstep;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Objects;

/**
 * Delivers the streams of a set in their merged order, as committed: each entry has a number there, from 1 without
 * holes, which is the same for all readers. Each stream's own order is kept, and a stream that is idle or stalled holds
 * up no other one. A program that reads one stream uses a {@link Subscriber}.
 *
 * <p>It belongs to one thread at a time, as each {@link Handle}.
 */
public final class MergedSubscriber extends PolledHandle implements AutoCloseable {
    private final MergedEvent event = new MergedEvent();
    private final MergedBatch merged = new MergedBatch(batch, event);

    private MergedSubscriber(long handle) {
        this.handle = handle;
        setMemory();
    }

    /**
     * Reads the set's file, and opens the streams that are merged at {@code start}.
     *
     * @param path the set's file; null: the one that {@code LOCKSTEP_CONFIG} names, or
     *     {@code /etc/lockstep/lockstep.toml}
     * @param start {@code live}, a moment ago; {@code beginning}, at the first entry of the home stream; or what
     *     {@link #cursor} of an earlier handle has returned
     * @param timeout how long the place of {@code live} is looked for at most
     * @return the handle
     * @throws LockstepException with {@link Status#CONFIG} if the file is wrong, {@link Status#ARGUMENT} if the start is
     *     none, {@link Status#TIMED_OUT} if there is no place to begin live
     */
    public static MergedSubscriber connect(String path, String start, Duration timeout) {
        byte[] file = path == null ? null : text("path", path);
        byte[] begin = text("start", Objects.requireNonNull(start, "start"));
        return new MergedSubscriber(checked(Native.mergedConnect(file, begin, nanos(timeout))));
    }

    /**
     * Reads the set's file that {@code LOCKSTEP_CONFIG} names, or {@code /etc/lockstep/lockstep.toml}, and opens the
     * streams that are merged at {@code start}.
     *
     * @param start as of {@link #connect(String, String, Duration)}
     * @return the handle
     */
    public static MergedSubscriber connect(String start) {
        return connect(null, start, Defaults.TIMEOUT);
    }

    /**
     * Reads the set's file that {@code LOCKSTEP_CONFIG} names, or {@code /etc/lockstep/lockstep.toml}, and begins live.
     *
     * @return the handle
     */
    public static MergedSubscriber connect() {
        return connect(null, "live", Defaults.TIMEOUT);
    }

    @Override
    void closeNative() {
        Native.mergedClose(handle);
    }

    @Override
    long pollNative(int limit) {
        return Native.mergedPoll(handle, limit);
    }

    @Override
    void setMemory() {
        event.allocate(batch.rows.capacity());
        Native.mergedSetMemory(handle, batch.rows, batch.bytes, event.places);
    }

    @Override
    void give(Object handler) {
        event.event = batch.take();
        ((MergedEventHandler) handler).onEvent(event);
    }

    /**
     * Frees the handle and closes its sockets. A second call does nothing.
     *
     * @throws LockstepException with {@link Status#IN_USE} if another thread is in a call with this handle
     */
    @Override
    public void close() {
        acquire();
        try {
            free();
        } finally {
            release();
        }
    }

    /**
     * One turn: receives from each stream, and stores at most {@code limit} messages and every other event, in the
     * merged order. A batch is full with 256 KiB of payloads. Never blocks.
     *
     * @param limit how much at most
     * @return the events, valid until the next poll of this handle; the same object each time
     */
    public MergedBatch pollBatch(int limit) {
        turn(limit);
        return merged;
    }

    /**
     * One turn as {@link #pollBatch(int)}, with the default limit.
     *
     * @return the events, valid until the next poll of this handle; the same object each time
     */
    public MergedBatch pollBatch() {
        return pollBatch(Defaults.BATCH_LIMIT);
    }

    /**
     * One turn as {@link #pollBatch(int)}, whose events are passed to {@code handler} one by one. The handler may close
     * this handle. If it throws, the next poll begins with the events behind the one at which it has thrown.
     *
     * @param limit how much at most
     * @param handler receives the events
     * @return the work done; 0 is an idle turn
     */
    public long poll(int limit, MergedEventHandler handler) {
        return deliver(limit, handler);
    }

    /**
     * One turn as {@link #poll(int, MergedEventHandler)}, with the default limit.
     *
     * @param handler receives the events
     * @return the work done; 0 is an idle turn
     */
    public long poll(MergedEventHandler handler) {
        return poll(Defaults.LIMIT, handler);
    }

    /**
     * Sleeps until there is something to poll for. Poll behind it in either case. An interrupt of the thread does not
     * end it: choose a timeout.
     *
     * @param timeoutNanos nanoseconds after which it returns at the latest
     * @return whether a datagram of one of the streams has arrived
     */
    public boolean await(long timeoutNanos) {
        if (timeoutNanos < 0) {
            throw wrong("the timeout is negative: " + timeoutNanos);
        }
        long current = enter();
        try {
            return checked(Native.mergedAwait(current, timeoutNanos)) != 0;
        } finally {
            release();
        }
    }

    /**
     * The place behind the last event of the last poll, for {@link #connect(String)} of a later handle.
     *
     * @return a text of a few hundred characters
     * @throws LockstepException with {@link Status#IN_USE} in a handler of poll, and while events are left because
     *     one has thrown
     */
    public String cursor() {
        refuseBehindEvents();
        byte[][] text = new byte[1][];
        long current = enter();
        try {
            checked(Native.mergedCursor(current, text));
        } finally {
            release();
        }
        return new String(text[0], StandardCharsets.UTF_8);
    }

    /**
     * The number that the next merged entry gets.
     *
     * @return the number
     */
    public long nextNumber() {
        long current = enter();
        try {
            return checked(Native.mergedNextNumber(current));
        } finally {
            release();
        }
    }

    /**
     * Whether the subscription of a stream has ended, and the merged order with it: the event before gave the reason.
     *
     * @return whether it is so
     */
    public boolean isEnded() {
        long current = enter();
        try {
            return checked(Native.mergedIsEnded(current)) != 0;
        } finally {
            release();
        }
    }

    /**
     * The name of a stream in the set's file.
     *
     * @param stream the number of its cluster: {@link MergedEvent#stream}
     * @return the name; empty if the set has none
     */
    public String streamName(long stream) {
        long current = enter();
        try {
            return new String(Native.mergedStreamName(current, stream), StandardCharsets.UTF_8);
        } finally {
            release();
        }
    }
}
