package io.lockstep;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * An input of a {@link Machine}, at its place in the stream. {@link InputKind} lists the fields of each kind. Its payload
 * lies in memory that is not Java's until it is asked for: {@link #payload()} copies it, {@link #payloadBuffer()} does not.
 * Both are asked within {@link Machine#apply}.
 */
public final class Input {
    private final InputKind kind;
    private final long seq;
    private final long time;
    private final int publisher;
    private final long publisherSeq;
    private final int destination;
    private final String user;
    private final long key;
    private final long due;
    private final long value;
    private final int detail;
    /** Null: it was not asked for so far. */
    private byte[] payload;
    /** Where it lies until then; null where it is an array. */
    private final Machines shared;
    private final int payloadLength;
    /** Which input of {@code shared} this is. */
    private final long turn;

    /**
     * An input with a payload of its own, for a test.
     *
     * @param kind what it is
     * @param seq the seq of its entry; of a timer, that of the entry at or behind the time when it is due
     * @param time the stream's time: when the leader stamped that entry, nanoseconds since the Unix epoch
     * @param publisher the publisher's id: the destination of an answer
     * @param publisherSeq the publisher's number of the message
     * @param destination the destination
     * @param user the user, where the publisher is a client of a gateway; else null
     * @param payload the content of the message, the bytes that the timer was set with, or a name in UTF-8
     * @param key the key of the timer
     * @param due when the timer was due, by the stream's time
     * @param value by the kind
     * @param detail by the kind
     */
    public Input(InputKind kind, long seq, long time, int publisher, long publisherSeq, int destination, String user,
            byte[] payload, long key, long due, long value, int detail) {
        this(kind, seq, time, publisher, publisherSeq, destination, user, key, due, value, detail, payload, null,
                payload.length, 0);
    }

    Input(InputKind kind, long seq, long time, int publisher, long publisherSeq, int destination, String user, long key,
            long due, long value, int detail, byte[] payload, Machines shared, int payloadLength, long turn) {
        this.kind = kind;
        this.seq = seq;
        this.time = time;
        this.publisher = publisher;
        this.publisherSeq = publisherSeq;
        this.destination = destination;
        this.user = user;
        this.key = key;
        this.due = due;
        this.value = value;
        this.detail = detail;
        this.payload = payload;
        this.shared = shared;
        this.payloadLength = payloadLength;
        this.turn = turn;
    }

    /**
     * What it is.
     *
     * @return the kind
     */
    public InputKind kind() {
        return kind;
    }

    /**
     * The seq of its entry; of a timer, that of the entry at or behind the time when it is due.
     *
     * @return the seq
     */
    public long seq() {
        return seq;
    }

    /**
     * The stream's time: when the leader stamped that entry.
     *
     * @return nanoseconds since the Unix epoch
     */
    public long time() {
        return time;
    }

    /**
     * The publisher's id: the destination of an answer.
     *
     * @return the id
     */
    public int publisher() {
        return publisher;
    }

    /**
     * The publisher's number of the message.
     *
     * @return the number
     */
    public long publisherSeq() {
        return publisherSeq;
    }

    /**
     * The destination.
     *
     * @return the destination
     */
    public int destination() {
        return destination;
    }

    /**
     * The user, where the publisher is a client of a gateway.
     *
     * @return the user, or null
     */
    public String user() {
        return user;
    }

    /**
     * The content of the message, the bytes that the timer was set with, or a name in UTF-8. The first call copies it.
     *
     * @return the bytes: those of this input, also behind {@link Machine#apply}
     * @throws LockstepException if it is asked for first behind {@link Machine#apply} ({@link Status#CLOSED_HANDLE})
     */
    public byte[] payload() {
        if (payload == null) {
            payload = shared.payload(turn, payloadLength);
        }
        return payload;
    }

    /**
     * How many bytes the payload has.
     *
     * @return the number
     */
    public int payloadLength() {
        return payloadLength;
    }

    /**
     * The payload without a copy.
     *
     * @return a buffer to read, whose bytes are those of this input until {@link Machine#apply} returns
     * @throws LockstepException if it is asked for behind {@link Machine#apply} ({@link Status#CLOSED_HANDLE})
     */
    public ByteBuffer payloadBuffer() {
        return payload == null ? shared.payloadBuffer(turn, payloadLength) : ByteBuffer.wrap(payload).asReadOnlyBuffer();
    }

    /**
     * The key of the timer.
     *
     * @return the key
     */
    public long key() {
        return key;
    }

    /**
     * When the timer was due, by the stream's time.
     *
     * @return nanoseconds since the Unix epoch
     */
    public long due() {
        return due;
    }

    /**
     * By the kind.
     *
     * @return the value
     */
    public long value() {
        return value;
    }

    /**
     * By the kind.
     *
     * @return the detail
     */
    public int detail() {
        return detail;
    }

    @Override
    public String toString() {
        String bytes = payload == null ? payloadLength + " bytes" : Arrays.toString(payload);
        return "Input[kind=" + kind + ", seq=" + seq + ", time=" + time + ", publisher=" + publisher + ", publisherSeq="
                + publisherSeq + ", destination=" + destination + ", user=" + user + ", payload=" + bytes + ", key=" + key
                + ", due=" + due + ", value=" + value + ", detail=" + detail + "]";
    }
}
