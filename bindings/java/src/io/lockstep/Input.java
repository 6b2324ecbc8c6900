package io.lockstep;

/**
 * An input of a {@link Machine}, at its place in the stream. {@link InputKind} lists the fields of each kind.
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
public record Input(InputKind kind, long seq, long time, int publisher, long publisherSeq, int destination, String user,
        byte[] payload, long key, long due, long value, int detail) {}
