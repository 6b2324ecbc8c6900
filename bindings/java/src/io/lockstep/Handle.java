package io.lockstep;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.function.LongUnaryOperator;

/**
 * The common part of {@link Publisher}, {@link Subscriber} and {@link Participant}.
 *
 * <p>A handle belongs to one thread at a time. A call while another thread is in one with the same handle is refused
 * with {@link Status#IN_USE} and a text that names both; nothing else happens. A handle may be handed from one
 * thread to another between two calls.
 *
 * <p>{@link #close} frees the handle and closes its sockets; without it they stay until the process ends. A call after
 * it is refused with {@link Status#CLOSED_HANDLE}. Events that were polled before can still be read.
 */
public abstract sealed class Handle extends PolledHandle implements AutoCloseable permits Publisher, Subscriber, Participant {
    /** Where claimed messages are written, once there was one; in the order little-endian. */
    private ByteBuffer claims;

    /** The receiver of events of {@code open}, {@code begin} or a request, and the first exception that it has thrown. */
    private AnswerHandler<?> receiver;
    private Throwable thrown;

    /** What the receiver has returned for the answer to a request. */
    private Object answer;

    /** Whether the receiver has closed the handle, which ends with the call. */
    private boolean isClosing;

    Handle(Endpoint endpoint, int kind, Start start, Delivery delivery) {
        Objects.requireNonNull(delivery, "delivery");
        handle = endpoint.connect(kind, Objects.requireNonNull(start, "start"), delivery);
        setMemory();
    }

    // ------------------------------------------------------------------------ all handles

    /**
     * Frees the handle and closes its sockets. Messages without an outcome may be stamped or not. A second call does
     * nothing. In a handler of {@code open}, {@code begin} or a request the handle ends with that call.
     *
     * @throws LockstepException with {@link Status#IN_USE} if another thread is in a call with this handle
     */
    @Override
    public final void close() {
        if (isMine()) {
            isClosing = true;
            return;
        }
        acquire();
        try {
            free();
        } finally {
            release();
        }
    }

    @Override
    void free() {
        isClosing = false;
        super.free();
    }

    @Override
    void closeNative() {
        Native.close(handle);
    }

    @Override
    long pollNative(int limit) {
        return Native.poll(handle, limit);
    }

    @Override
    void setMemory() {
        Native.setMemory(handle, batch.rows, batch.bytes);
    }

    @Override
    void give(Object handler) {
        ((EventHandler) handler).onEvent(batch.take());
    }

    /**
     * One turn: receives, sends, and stores the events. A publisher reads at most {@code limit} datagrams; another
     * handle delivers at most {@code limit} messages and every other event. A batch is full with 256 KiB of payloads.
     * Never blocks.
     *
     * @param limit how much at most
     * @return the events, valid until the next poll of this handle; the same object each time
     */
    public final Batch pollBatch(int limit) {
        turn(limit);
        return batch;
    }

    /**
     * One turn as {@link #pollBatch(int)}, with the default limit.
     *
     * @return the events, valid until the next poll of this handle; the same object each time
     */
    public final Batch pollBatch() {
        return pollBatch(Defaults.BATCH_LIMIT);
    }

    /**
     * One turn as {@link #poll(int, EventHandler)}, with the default limit.
     *
     * @param handler receives the events
     * @return the work done; 0 is an idle turn
     */
    public final long poll(EventHandler handler) {
        return poll(Defaults.LIMIT, handler);
    }

    /**
     * One turn as {@link #pollBatch(int)}, whose events are passed to {@code handler} one by one. The handler may publish
     * with this handle, and close it. If it throws, the next poll begins with the events behind the one at which it has
     * thrown.
     *
     * @param limit how much at most
     * @param handler receives the events
     * @return the work done; 0 is an idle turn
     */
    public final long poll(int limit, EventHandler handler) {
        return deliver(limit, handler);
    }

    /**
     * Sleeps until there is something to poll for. Sends what is written first. Poll behind it in either case. An
     * interrupt of the thread does not end it: choose a timeout.
     *
     * @param timeoutNanos nanoseconds after which it returns at the latest
     * @return whether a datagram has arrived
     */
    public final boolean await(long timeoutNanos) {
        if (timeoutNanos < 0) {
            throw wrong("the timeout is negative: " + timeoutNanos);
        }
        long current = enter();
        try {
            return checked(Native.await(current, timeoutNanos)) != 0;
        } finally {
            release();
        }
    }

    /**
     * The descriptor that is readable while the handle has datagrams to read, for an event loop of native code. Poll
     * the handle when it is readable until a poll does no work, and after {@link #dueNanos} at the latest.
     *
     * @return the descriptor, which the handle owns
     */
    public final int fd() {
        long current = enter();
        try {
            return (int) checked(Native.fd(current));
        } finally {
            release();
        }
    }

    /**
     * The time until the handle must be polled again, although nothing arrives.
     *
     * @return nanoseconds
     */
    public final long dueNanos() {
        long current = enter();
        try {
            return checked(Native.due(current));
        } finally {
            release();
        }
    }

    // ------------------------------------------------------------------------ events of open, begin and requests

    /**
     * The native side has an event of {@code open}, {@code begin}, or a request with this number. What is thrown here
     * waits for their end. Returns whether a request ends.
     */
    final boolean onNativeEvent(long publisherSeq) {
        if (thrown == null) {
            try {
                store(1);
                Object found = receiver.onEvent(batch.take(), publisherSeq);
                answer = answer == null && publisherSeq != 0 ? found : answer;
            } catch (Throwable error) {
                thrown = error;
            }
        }
        return thrown != null || answer != null;
    }

    /** Calls {@code open}, {@code begin} or {@code request}, while events go to {@code handler}. */
    private long receiving(AnswerHandler<?> handler, LongUnaryOperator call) {
        refuseWithin();
        if (hasLeftEvents()) {
            throw new LockstepException(Status.IN_USE,
                    "a poll has left events: poll before you open a name, begin or make a request");
        }
        long current = enter();
        try {
            receiver = handler;
            thrown = null;
            answer = null;
            batch.clear();
            long result = call.applyAsLong(current);
            batch.clear();
            if (thrown != null) {
                throw Handle.<RuntimeException>unchecked(thrown);
            }
            return checked(result);
        } finally {
            receiver = null;
            thrown = null;
            if (isClosing) {
                free();
            }
            release();
        }
    }

    private static AnswerHandler<Void> without(EventHandler handler) {
        Objects.requireNonNull(handler, "handler");
        return (event, publisherSeq) -> {
            handler.onEvent(event);
            return null;
        };
    }

    /** Throws it as it is: a handler of a language without checked exceptions may throw any. */
    @SuppressWarnings("unchecked")
    private static <T extends Throwable> T unchecked(Throwable error) throws T {
        throw (T) error;
    }

    final int doOpen(String name, Duration timeout, EventHandler handler) {
        if (name.indexOf('\0') >= 0) {
            throw new LockstepException(Status.NAME, "the name has the character 0 in it");
        }
        byte[] text = text("name", name);
        long nanos = nanos(timeout);
        return (int) receiving(without(handler), current -> Native.open(current, text, nanos, this));
    }

    final void doBegin(Duration timeout, EventHandler handler) {
        long nanos = nanos(timeout);
        receiving(without(handler), current -> Native.begin(current, nanos, this));
    }

    final <A> A doRequest(int publisher, byte[] payload, int destination, Duration timeout, AnswerHandler<A> handler) {
        Objects.requireNonNull(payload, "payload");
        Objects.requireNonNull(handler, "handler");
        long nanos = nanos(timeout);
        receiving(handler, current -> Native.request(current, publisher, destination, payload, nanos, this));
        @SuppressWarnings("unchecked")
        A found = (A) answer;
        answer = null;
        return found;
    }

    // ------------------------------------------------------------------------ those that publish

    /** The number of a message, or that the window is full. */
    private static long published(long result) {
        if (result < 0 && result != PublishingHandle.BACKPRESSURE) {
            throw LockstepException.last(result);
        }
        return result;
    }

    final long doPublish(int publisher, byte[] array, int offset, int length, int destination) {
        Objects.checkFromIndexSize(offset, length, array.length);
        long current = enter();
        try {
            return published(Native.publishArray(current, publisher, destination, array, offset, length));
        } finally {
            release();
        }
    }

    final long doPublish(int publisher, ByteBuffer payload, int destination) {
        if (!payload.isDirect()) {
            return doPublish(publisher, array(payload), payload.arrayOffset() + payload.position(),
                    payload.remaining(), destination);
        }
        long current = enter();
        try {
            return published(Native.publishDirect(current, publisher, destination, payload, payload.position(),
                    payload.remaining()));
        } finally {
            release();
        }
    }

    final long doPublishAt(int publisher, long number, byte[] array, int offset, int length, int destination) {
        Objects.checkFromIndexSize(offset, length, array.length);
        long current = enter();
        try {
            return published(Native.publishArrayAt(current, publisher, number, destination, array, offset, length));
        } finally {
            release();
        }
    }

    final long doPublishAt(int publisher, long number, ByteBuffer payload, int destination) {
        if (!payload.isDirect()) {
            return doPublishAt(publisher, number, array(payload), payload.arrayOffset() + payload.position(),
                    payload.remaining(), destination);
        }
        long current = enter();
        try {
            return published(Native.publishDirectAt(current, publisher, number, destination, payload,
                    payload.position(), payload.remaining()));
        } finally {
            release();
        }
    }

    private static byte[] array(ByteBuffer payload) {
        if (!payload.hasArray()) {
            throw wrong("the payload is a read-only buffer on the heap: use a direct buffer, or an array");
        }
        return payload.array();
    }

    final long doClaim(int publisher, int length, int destination) {
        if (length < 0) {
            throw wrong("the length is negative: " + length);
        }
        long current = enter();
        try {
            if (claims == null) {
                int longest = Math.toIntExact(checked(Native.claimLenMax(current)));
                claims = ByteBuffer.allocateDirect(longest).order(ByteOrder.LITTLE_ENDIAN);
                Native.setClaims(current, claims);
            }
            claims.clear().limit(0);
            long number = published(Native.claim(current, publisher, destination, length));
            if (number >= 0) {
                claims.limit(length);
            }
            return number;
        } finally {
            release();
        }
    }

    final ByteBuffer doClaimed() {
        if (claims == null) {
            throw new IllegalStateException("nothing is claimed");
        }
        return claims;
    }

    final long doCloseName(int publisher, byte[] reason) {
        Objects.requireNonNull(reason, "reason");
        long current = enter();
        try {
            return published(Native.closeName(current, publisher, reason));
        } finally {
            release();
        }
    }

    final long doStartDay(int publisher, String day) {
        byte[] name = text("day", day);
        long current = enter();
        try {
            return published(Native.startDay(current, publisher, name));
        } finally {
            release();
        }
    }

    final long doEndDay(int publisher) {
        long current = enter();
        try {
            return published(Native.endDay(current, publisher));
        } finally {
            release();
        }
    }

    final long doFlush() {
        long current = enter();
        try {
            return checked(Native.flush(current));
        } finally {
            release();
        }
    }

    final Outcomes doOutcomes() {
        long[] counts = new long[7];
        long current = enter();
        try {
            checked(Native.outcomes(current, counts));
        } finally {
            release();
        }
        return new Outcomes(counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], counts[6]);
    }

    final boolean doIsDrained() {
        long current = enter();
        try {
            return checked(Native.isDrained(current)) != 0;
        } finally {
            release();
        }
    }

    final boolean doIsConnected() {
        long current = enter();
        try {
            return checked(Native.isConnected(current)) != 0;
        } finally {
            release();
        }
    }

    final int doMessageLenMax(int destination) {
        long current = enter();
        try {
            return Math.toIntExact(checked(Native.messageLenMax(current, destination)));
        } finally {
            release();
        }
    }

    final int doClaimLenMax() {
        long current = enter();
        try {
            return Math.toIntExact(checked(Native.claimLenMax(current)));
        } finally {
            release();
        }
    }

    // ------------------------------------------------------------------------ those that read

    final long doDeliverNext() {
        long current = enter();
        try {
            return checked(Native.deliverNext(current));
        } finally {
            release();
        }
    }

    final long doCommitNext() {
        long current = enter();
        try {
            return checked(Native.commitNext(current));
        } finally {
            release();
        }
    }

    final boolean doIsEnded() {
        long current = enter();
        try {
            return checked(Native.isEnded(current)) != 0;
        } finally {
            release();
        }
    }

    final Optional<Cursor> doCursor() {
        refuseBehindEvents();
        long[] numbers = new long[3];
        long current = enter();
        try {
            return checked(Native.cursor(current, numbers)) == 0 ? Optional.empty()
                    : Optional.of(new Cursor(numbers[0], numbers[1], numbers[2]));
        } finally {
            release();
        }
    }
}
