package io.lockstep;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;

/**
 * The events of one poll, in the order of the stream. Each handle has one batch, and fills it anew with each poll:
 *
 * <pre>{@code
 * Batch batch = subscriber.pollBatch(64);
 * for (int index = 0; index < batch.size(); index++) {
 *     Event event = batch.event(index);
 *     …
 * }
 * }</pre>
 */
public final class Batch {
    /** Bytes of a row, and of the header before them: their number, and the number of bytes of payloads. */
    static final int ROW = 64;

    private static final int ROWS_MIN = 256;
    private static final int BYTES_MIN = 64 << 10;

    ByteBuffer rows;
    ByteBuffer bytes;
    private ByteBuffer payload;

    private int first;
    private int count;
    private long work;
    private final Event event = new Event(this);

    Batch() {
        allocate(ROWS_MIN, BYTES_MIN);
    }

    /** New memory for at least so many rows and bytes. */
    private void allocate(long rowsWanted, long bytesWanted) {
        ByteBuffer newRows = ByteBuffer.allocateDirect(Math.toIntExact((rowsWanted + 1) * ROW));
        ByteBuffer newBytes = ByteBuffer.allocateDirect(Math.toIntExact(bytesWanted));
        rows = newRows.order(ByteOrder.LITTLE_ENDIAN);
        bytes = newBytes;
        payload = newBytes.asReadOnlyBuffer();
    }

    void clear() {
        first = 0;
        count = 0;
        work = 0;
    }

    /** Whether the native side has stored its events here; if not, there is room for them now. */
    boolean isStored() {
        long newRows = rows.getLong(0);
        long newBytes = rows.getLong(8);
        if ((newRows + 1) * ROW <= rows.capacity() && newBytes <= bytes.capacity()) {
            return true;
        }
        allocate(Math.max(2 * newRows, ROWS_MIN), Math.max(2 * newBytes, bytes.capacity()));
        return false;
    }

    /** Shows what the native side has stored. */
    void show(long newWork) {
        first = 0;
        count = (int) rows.getLong(0);
        work = newWork;
    }

    /** The next event, which is none of this batch any more. */
    Event take() {
        Event next = event(0);
        first++;
        return next;
    }

    ByteBuffer payload(int at, int length) {
        payload.clear().limit(at + length).position(at);
        return payload.order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * How many events there are.
     *
     * @return the number
     */
    public int size() {
        return count - first;
    }

    /**
     * The work that the poll has done. 0 is an idle turn: there was nothing to receive, to deliver or to send.
     *
     * @return the work
     */
    public long work() {
        return work;
    }

    /**
     * An event. The same object shows each of them: read one before you ask for the next.
     *
     * @param index from 0 to below {@link #size}
     * @return the event, valid until the next call of this method and until the next poll of the handle
     * @throws IndexOutOfBoundsException if there is no such event
     */
    public Event event(int index) {
        event.at = (1 + first + Objects.checkIndex(index, count - first)) * ROW;
        return event;
    }
}
