package io.lockstep;

import java.time.Duration;
import java.util.Optional;

/** A handle that reads the stream: {@link Subscriber} or {@link Participant}. */
public sealed interface ReadingHandle extends AutoCloseable permits Subscriber, Participant {
    /**
     * Polls until the subscription has its position. A live subscription delivers what is published after it.
     *
     * @param timeout how long at most
     * @param handler receives the events of these polls. It may close its own handle, and must not call it otherwise.
     *     The first exception that it throws is thrown on when the call ends
     * @throws LockstepException with {@link Status#TIMED_OUT} if nothing was received from a leader in time
     */
    default void begin(Duration timeout, EventHandler handler) {
        ((Handle) this).doBegin(timeout, handler);
    }

    /**
     * Polls until the subscription has its position, for ten seconds at most. The events of these polls are lost.
     *
     * @throws LockstepException with {@link Status#TIMED_OUT} if nothing was received from a leader in time
     */
    default void begin() {
        begin(Defaults.TIMEOUT, event -> {});
    }

    /**
     * The next seq to be delivered.
     *
     * @return the seq; 0 before a live subscription has begun
     */
    default long deliverNext() {
        return ((Handle) this).doDeliverNext();
    }

    /**
     * The exclusive bound of what is final, as far as it was received here.
     *
     * @return the seq
     */
    default long commitNext() {
        return ((Handle) this).doCommitNext();
    }

    /**
     * Whether the subscription has ended: the event before gave the reason.
     *
     * @return whether it is so
     */
    default boolean isEnded() {
        return ((Handle) this).doIsEnded();
    }

    /**
     * The position behind the last event of the last poll, for {@link Start#at}.
     *
     * @return the position; none before the subscription has begun
     * @throws LockstepException with {@link Status#IN_USE} in a handler of poll, and while events are left because
     *     one has thrown
     */
    default Optional<Cursor> cursor() {
        return ((Handle) this).doCursor();
    }

    @Override
    void close();
}
