package io.lockstep;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Locale;
import java.util.Objects;

/** A native handle that is polled: one thread at a time calls it, until it is closed. */
abstract class PolledHandle {
    private static final VarHandle USER;

    static {
        try {
            USER = MethodHandles.lookup().findVarHandle(PolledHandle.class, "user", Thread.class);
        } catch (ReflectiveOperationException error) {
            throw new ExceptionInInitializerError(error);
        }
    }

    /** The address of the native handle; 0: it is closed. */
    long handle;

    /** The events of the last poll. */
    final Batch batch = new Batch();

    /** The thread that is in a call with this handle. */
    private Thread user;

    /** Whether a poll calls a handler, and whether it has left events because that has thrown. */
    private boolean isDelivering;
    private boolean hasLeft;

    /** The work of a poll whose events are not stored yet, for want of memory; -1: there is none. */
    private long unstored = -1;

    // ------------------------------------------------------------------------ one thread at a time

    final void acquire() {
        Thread current = Thread.currentThread();
        Thread other = (Thread) USER.compareAndExchangeAcquire(this, (Thread) null, current);
        if (other == current) {
            throw new LockstepException(Status.IN_USE,
                    "a handler of open, begin or a request may close its own handle, and must not call it otherwise");
        }
        if (other != null) {
            throw new LockstepException(Status.IN_USE, "the handle is in use by the thread '" + other.getName()
                    + "', and called by '" + current.getName() + "': use one handle for each thread");
        }
    }

    final void release() {
        USER.setRelease(this, (Thread) null);
    }

    /** Begins a call; {@link #release} ends it. */
    final long enter() {
        acquire();
        if (handle == 0) {
            release();
            String what = getClass().getSimpleName().replaceAll("(?<=[a-z])(?=[A-Z])", " ").toLowerCase(Locale.ROOT);
            throw new LockstepException(Status.CLOSED_HANDLE, "the " + what + " is closed");
        }
        return handle;
    }

    static long checked(long result) {
        if (result < 0) {
            throw LockstepException.last(result);
        }
        return result;
    }

    /** The refusal of an argument. */
    static LockstepException wrong(String message) {
        return new LockstepException(Status.ARGUMENT, message);
    }

    /** The text as the native side takes it: UTF-8 with a 0 at its end. */
    static byte[] text(String what, String text) {
        if (text.indexOf('\0') >= 0) {
            throw wrong(what + " has the character 0 in it");
        }
        try {
            CharBuffer whole = CharBuffer.wrap(text + "\0");
            ByteBuffer encoded = StandardCharsets.UTF_8.newEncoder().encode(whole);
            byte[] bytes = new byte[encoded.remaining()];
            encoded.get(bytes);
            return bytes;
        } catch (CharacterCodingException error) {
            throw wrong(what + " has half of a surrogate pair in it");
        }
    }

    /** Nanoseconds; for ever is 292 years. */
    static long nanos(Duration timeout) {
        if (timeout.isNegative()) {
            throw wrong("the timeout is negative: " + timeout);
        }
        try {
            return timeout.toNanos();
        } catch (ArithmeticException tooLong) {
            return Long.MAX_VALUE;
        }
    }

    /** Whether this thread is in a call with this handle. */
    final boolean isMine() {
        return USER.getAcquire(this) == Thread.currentThread();
    }

    // ------------------------------------------------------------------------ what each class knows

    /** Frees the native handle. */
    abstract void closeNative();

    /** Polls, and stores the events in the memory if they fit. */
    abstract long pollNative(int limit);

    /** Says where events are stored, and stores those of the last poll there. */
    abstract void setMemory();

    /** Gives the next event of the batch to a handler of the class's own type. */
    abstract void give(Object handler);

    // ------------------------------------------------------------------------ polls

    void free() {
        if (handle != 0) {
            closeNative();
            handle = 0;
            hasLeft = false;
        }
    }

    /** One turn, whose events are those of the batch; where a poll has left some, those are. */
    final void turn(int limit) {
        if (hasLeft) {
            refuseWithin();
            hasLeft = false;
        } else {
            fill(limit);
        }
    }

    /** One turn, whose events are given to {@code handler} one by one; returns the work done. */
    final long deliver(int limit, Object handler) {
        Objects.requireNonNull(handler, "handler");
        if (hasLeft) {
            refuseWithin();
        } else {
            fill(limit);
        }
        hasLeft = true;
        isDelivering = true;
        try {
            while (batch.size() > 0 && handle != 0) {
                give(handler);
            }
        } finally {
            isDelivering = false;
            hasLeft = batch.size() > 0 && handle != 0;
        }
        return batch.work();
    }

    /** Whether a poll has left events for the next one. */
    final boolean hasLeftEvents() {
        return hasLeft || unstored >= 0;
    }

    final void refuseWithin() {
        if (isDelivering) {
            throw new LockstepException(Status.IN_USE, "a handler of poll must not poll its own handle, open a name or"
                    + " ask for its cursor: do that when the poll has returned");
        }
    }

    /** Refuses a cursor, which is that behind what was polled. */
    final void refuseBehindEvents() {
        refuseWithin();
        if (hasLeftEvents()) {
            throw new LockstepException(Status.IN_USE,
                    "a poll has left events, and the cursor is behind them: poll first");
        }
    }

    private void fill(int limit) {
        if (limit < 0) {
            throw wrong("the limit is negative: " + limit);
        }
        refuseWithin();
        enter();
        try {
            if (unstored < 0) {
                batch.clear();
                unstored = pollNative(limit);
                checked(unstored);
            }
            store(unstored);
            unstored = -1;
        } finally {
            release();
        }
    }

    final void store(long work) {
        if (!batch.isStored()) {
            setMemory();
        }
        batch.show(work);
    }
}
