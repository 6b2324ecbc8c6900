package io.lockstep;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * An event. {@link Kind} lists the fields of each kind; the others are 0. Numbers of 64 bits, and the ids of publishers
 * and destinations, are unsigned: {@link Long#toUnsignedString(long)}, {@link Integer#toUnsignedString(int)}.
 */
public final class Event {
    private final Batch batch;
    int at;

    Event(Batch batch) {
        this.batch = batch;
    }

    /**
     * The kind of the event.
     *
     * @return the kind; {@link Kind#UNKNOWN} for one that this version does not know
     */
    public Kind kind() {
        return Kind.of(kindNumber());
    }

    /**
     * The number of its kind.
     *
     * @return the number in {@code lockstep.h}
     */
    public int kindNumber() {
        return batch.rows.getInt(at + 56);
    }

    /**
     * The place in the stream, or a bound of it.
     *
     * @return the seq
     */
    public long seq() {
        return batch.rows.getLong(at);
    }

    /**
     * The publisher's number of the message.
     *
     * @return the number
     */
    public long publisherSeq() {
        return batch.rows.getLong(at + 8);
    }

    /**
     * When the entry was stamped.
     *
     * @return nanoseconds since the Unix epoch
     */
    public long timestamp() {
        return batch.rows.getLong(at + 16);
    }

    /**
     * A number; see the kind.
     *
     * @return the number
     */
    public long value() {
        return batch.rows.getLong(at + 24);
    }

    /**
     * Another number; see the kind.
     *
     * @return the number
     */
    public long value2() {
        return batch.rows.getLong(at + 32);
    }

    /**
     * The publisher's id.
     *
     * @return the id
     */
    public int publisher() {
        return batch.rows.getInt(at + 40);
    }

    /**
     * The destination.
     *
     * @return the destination
     */
    public int destination() {
        return batch.rows.getInt(at + 44);
    }

    /**
     * A reason or a flag; see the kind.
     *
     * @return the number
     */
    public int detail() {
        return batch.rows.getInt(at + 60);
    }

    /**
     * Length of the payload in bytes.
     *
     * @return the length
     */
    public int payloadLength() {
        return batch.rows.getInt(at + 52);
    }

    /**
     * The payload: from the buffer's position to its limit. The same buffer shows each payload of a handle; its
     * position, limit and byte order (little-endian) are set by each call.
     *
     * @return a direct buffer that can only be read, valid as long as the event
     */
    public ByteBuffer payload() {
        return batch.payload(batch.rows.getInt(at + 48), payloadLength());
    }

    /**
     * The payload as a new text, read as UTF-8.
     *
     * @return the text
     */
    public String payloadText() {
        return StandardCharsets.UTF_8.decode(payload()).toString();
    }

    /**
     * The event as a text, for a log.
     *
     * @return kind and fields
     */
    @Override
    public String toString() {
        return (kind() == Kind.UNKNOWN ? "kind " + kindNumber() : kind()) + " seq=" + Long.toUnsignedString(seq())
                + " publisher=" + Integer.toUnsignedString(publisher()) + " publisherSeq="
                + Long.toUnsignedString(publisherSeq()) + " destination=" + Integer.toUnsignedString(destination())
                + " timestamp=" + Long.toUnsignedString(timestamp()) + " value=" + Long.toUnsignedString(value())
                + " value2=" + Long.toUnsignedString(value2()) + " detail=" + Integer.toUnsignedString(detail())
                + " payloadLength=" + payloadLength();
    }
}
