package io.lockstep;

import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

/**
 * The file in which a program stores the cursor behind what it has processed, for its next start.
 *
 * <p>Each {@link #save} replaces it as a whole, and one process has it at a time, by a lock on the file beside it whose
 * name ends with {@code .lock}. What a program had processed since the last save comes again after a crash.
 *
 * <p>A call while another thread is in one with the same file is refused with {@link Status#IN_USE}, and one after
 * {@link #close} with {@link Status#CLOSED_HANDLE}.
 */
public final class CursorFile implements AutoCloseable {
    private final ReentrantLock user = new ReentrantLock();
    private long file;

    private CursorFile(long file) {
        this.file = file;
    }

    /**
     * Opens the file and reads its cursor. A file that is absent has none, and is created by the first save.
     *
     * @param path the file
     * @return the file, opened
     * @throws LockstepException with {@link Status#IN_USE} if somebody else has it open, {@link Status#ARGUMENT} if it
     *     has anything but a whole cursor
     */
    public static CursorFile open(String path) {
        return new CursorFile(checked(Native.cursorFileOpen(Handle.text("path", path))));
    }

    /**
     * The cursor that was read or saved last.
     *
     * @return the cursor; none if there is none so far
     */
    public Optional<Cursor> cursor() {
        long[] numbers = new long[3];
        return call(() -> Native.cursorFileCursor(file, numbers)) == 0 ? Optional.empty()
                : Optional.of(new Cursor(numbers[0], numbers[1], numbers[2]));
    }

    /**
     * Where a subscription begins: at the cursor, or elsewhere if there is none. A cursor of another history or log ends
     * the subscription with an event, and never begins anew.
     *
     * @param otherwise where it begins without a cursor
     * @return the start
     */
    public Start startOr(Start otherwise) {
        Objects.requireNonNull(otherwise, "otherwise");
        return cursor().map(Start::at).orElse(otherwise);
    }

    /**
     * Replaces the stored cursor. When it returns, the new one is on the disk: that takes up to some milliseconds. To
     * save the cursor that is stored already costs nothing. After a failure the file has the previous cursor or this one.
     *
     * @param cursor the position behind what is processed
     */
    public void save(Cursor cursor) {
        call(() -> Native.cursorFileSave(file, cursor.history(), cursor.seq(), cursor.chain()));
    }

    /**
     * Gives the file to others, and saves nothing. A second call does nothing.
     *
     * @throws LockstepException with {@link Status#IN_USE} if another thread is in a call with this file
     */
    @Override
    public void close() {
        acquire();
        try {
            if (file != 0) {
                Native.cursorFileClose(file);
                file = 0;
            }
        } finally {
            user.unlock();
        }
    }

    private void acquire() {
        if (!user.tryLock()) {
            throw new LockstepException(Status.IN_USE, "another thread is in a call with the cursor file");
        }
    }

    /** The result of a call with the file. */
    private long call(LongSupplier function) {
        acquire();
        try {
            if (file == 0) {
                throw new LockstepException(Status.CLOSED_HANDLE, "the cursor file is closed");
            }
            return checked(function.getAsLong());
        } finally {
            user.unlock();
        }
    }

    private static long checked(long result) {
        if (result < 0) {
            throw LockstepException.last(result);
        }
        return result;
    }
}
