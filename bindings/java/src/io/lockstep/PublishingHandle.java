package io.lockstep;

import java.nio.ByteBuffer;

/** A handle that publishes: {@link Publisher} or {@link Participant}. */
public sealed interface PublishingHandle extends AutoCloseable permits Publisher, Participant {
    /** The destination of messages for everybody: the usual one. */
    int EVERYBODY = 0;

    /**
     * The result of publishing while the window is full: poll, and publish again. It is no exception, as it is no rare
     * event, and no number of a message, as those count from 1.
     */
    long BACKPRESSURE = -1;

    /**
     * Copies a message into the open datagram. The next {@link #flush}, poll or await sends it.
     *
     * @param publisher the id of an open name
     * @param payload the message, from the buffer's position to its limit; they are left as they are. A direct buffer,
     *     or one with an array
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publish(int publisher, ByteBuffer payload, int destination) {
        return ((Handle) this).doPublish(publisher, payload, destination);
    }

    /**
     * Copies a message for everybody into the open datagram.
     *
     * @param publisher the id of an open name
     * @param payload the message, from the buffer's position to its limit; they are left as they are
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publish(int publisher, ByteBuffer payload) {
        return publish(publisher, payload, EVERYBODY);
    }

    /**
     * Copies a message into the open datagram, a part of an array.
     *
     * @param publisher the id of an open name
     * @param array has the message
     * @param offset where it begins
     * @param length its length
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publish(int publisher, byte[] array, int offset, int length, int destination) {
        return ((Handle) this).doPublish(publisher, array, offset, length, destination);
    }

    /**
     * Copies a message into the open datagram.
     *
     * @param publisher the id of an open name
     * @param payload the message
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publish(int publisher, byte[] payload, int destination) {
        return publish(publisher, payload, 0, payload.length, destination);
    }

    /**
     * Copies a message for everybody into the open datagram.
     *
     * @param publisher the id of an open name
     * @param payload the message
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publish(int publisher, byte[] payload) {
        return publish(publisher, payload, EVERYBODY);
    }

    /**
     * Publishes a message under a number that the caller derives from its own state: a copy of the publisher may have
     * published it already. {@link Status#AHEAD_OF_NUMBER} if numbers before it are missing.
     *
     * @param publisher the id of an open name
     * @param number the number
     * @param payload the message, from the buffer's position to its limit; they are left as they are
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number that was passed, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publishAt(int publisher, long number, ByteBuffer payload, int destination) {
        return ((Handle) this).doPublishAt(publisher, number, payload, destination);
    }

    /**
     * Publishes a message under a number that the caller derives from its own state, a part of an array.
     *
     * @param publisher the id of an open name
     * @param number the number
     * @param array has the message
     * @param offset where it begins
     * @param length its length
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number that was passed, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publishAt(int publisher, long number, byte[] array, int offset, int length, int destination) {
        return ((Handle) this).doPublishAt(publisher, number, array, offset, length, destination);
    }

    /**
     * Publishes a message for everybody under a number that the caller derives from its own state.
     *
     * @param publisher the id of an open name
     * @param number the number
     * @param payload the message
     * @return the number that was passed, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long publishAt(int publisher, long number, byte[] payload) {
        return publishAt(publisher, number, payload, 0, payload.length, EVERYBODY);
    }

    /**
     * Publishes a message that is written later: it has its number now, and its content is what {@link #claimed} has at
     * the next call with this handle, whichever that is. It consists of zeros until something is written.
     *
     * @param publisher the id of an open name
     * @param length its length, at most {@link #claimLenMax}
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long claim(int publisher, int length, int destination) {
        return ((Handle) this).doClaim(publisher, length, destination);
    }

    /**
     * Publishes a message for everybody that is written later.
     *
     * @param publisher the id of an open name
     * @param length its length, at most {@link #claimLenMax}
     * @return the number of the message, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long claim(int publisher, int length) {
        return claim(publisher, length, EVERYBODY);
    }

    /**
     * Where the claimed message is written: from 0 to the limit, by its index or by its position. The same buffer shows
     * each of them; its order is little-endian. What is written after the next call with this handle has no effect.
     *
     * @return the direct buffer, whose limit is the length of the message
     * @throws IllegalStateException if nothing was claimed yet
     */
    default ByteBuffer claimed() {
        return ((Handle) this).doClaimed();
    }

    /**
     * Closes a publisher behind all of its messages. Its outcome is an event.
     *
     * @param publisher the id of an open name
     * @param reason what the stream keeps as the reason
     * @return 0, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long closeName(int publisher, byte[] reason) {
        return ((Handle) this).doCloseName(publisher, reason);
    }

    /**
     * Closes a publisher behind all of its messages, without a reason.
     *
     * @param publisher the id of an open name
     * @return 0, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long closeName(int publisher) {
        return closeName(publisher, new byte[0]);
    }

    /**
     * Marks the start of a trading day. The mark has a number and an outcome like a message.
     *
     * @param publisher the id of an open name
     * @param day its name: 1 to 16 ASCII letters and digits
     * @return the number of the mark, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long startDay(int publisher, String day) {
        return ((Handle) this).doStartDay(publisher, day);
    }

    /**
     * Marks the end of a trading day. The mark has a number and an outcome like a message.
     *
     * @param publisher the id of an open name
     * @return the number of the mark, or {@link #BACKPRESSURE}
     * @throws LockstepException if it is refused for another reason; see {@link Status}
     */
    default long endDay(int publisher) {
        return ((Handle) this).doEndDay(publisher);
    }

    /**
     * Sends what is written.
     *
     * @return the number of datagrams sent
     */
    default long flush() {
        return ((Handle) this).doFlush();
    }

    /**
     * What became of the messages so far.
     *
     * @return their numbers
     */
    default Outcomes outcomes() {
        return ((Handle) this).doOutcomes();
    }

    /**
     * Whether every published message has its outcome, whichever: {@link #outcomes} tells.
     *
     * @return whether it is so
     */
    default boolean isDrained() {
        return ((Handle) this).doIsDrained();
    }

    /**
     * Whether the handle follows a leader's stream.
     *
     * @return whether it is so
     */
    default boolean isConnected() {
        return ((Handle) this).doIsConnected();
    }

    /**
     * Bytes of the longest message.
     *
     * @param destination the addressee: a channel may have its own limit
     * @return the length
     */
    default int messageLenMax(int destination) {
        return ((Handle) this).doMessageLenMax(destination);
    }

    /**
     * Bytes of the longest message for everybody.
     *
     * @return the length
     */
    default int messageLenMax() {
        return messageLenMax(EVERYBODY);
    }

    /**
     * Bytes of the longest message that can be claimed.
     *
     * @return the length
     */
    default int claimLenMax() {
        return ((Handle) this).doClaimLenMax();
    }

    @Override
    void close();
}
