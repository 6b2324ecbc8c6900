package io.lockstep;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** An event, and its place in the merged order of a set. Numbers of 64 bits are unsigned. */
public final class MergedEvent {
    /** Bytes of a place. */
    static final int PLACE = 24;

    /** The places of the rows of a batch. */
    ByteBuffer places;

    Event event;

    MergedEvent() {}

    /** Memory for the places of as many rows as there are in so many bytes, one of which is the header. */
    void allocate(int rows) {
        places = ByteBuffer.allocateDirect(rows / Batch.ROW * PLACE).order(ByteOrder.LITTLE_ENDIAN);
    }

    private long number(int field) {
        return places.getLong((event.at / Batch.ROW - 1) * PLACE + field);
    }

    /**
     * The merged number of the entry. What one entry says in several events has one number.
     *
     * @return the number, from 1 without holes; 0 of an event that stands for no entry
     */
    public long number() {
        return number(0);
    }

    /**
     * The merged time: the greatest timestamp so far. It never falls.
     *
     * @return nanoseconds since the Unix epoch
     */
    public long time() {
        return number(8);
    }

    /**
     * The stream of the event: {@link MergedSubscriber#streamName} has its name.
     *
     * @return the number of its cluster
     */
    public long stream() {
        return number(16);
    }

    /**
     * The event, as the stream's own subscription reports it.
     *
     * @return the event, valid as long as this one
     */
    public Event event() {
        return event;
    }

    /**
     * The event as a text, for a log.
     *
     * @return place and fields
     */
    @Override
    public String toString() {
        return "number=" + Long.toUnsignedString(number()) + " time=" + Long.toUnsignedString(time()) + " stream="
                + Long.toUnsignedString(stream()) + " " + event;
    }
}
