package io.lockstep;

import java.time.Duration;

/**
 * Publishes messages into the stream and delivers the stream, over one device: for a program that does both in one
 * thread. Each datagram is received once. Its events are those of a {@link Publisher} and of a {@link Subscriber}.
 */
public final class Participant extends Handle implements PublishingHandle, ReadingHandle {
    private Participant(Endpoint endpoint, Delivery delivery, Start start) {
        super(endpoint, Native.PARTICIPANT, delivery, start);
    }

    /**
     * Opens the sockets and joins the groups of a cluster. The stream begins with the first poll.
     *
     * @param endpoint which cluster
     * @param delivery when a message is delivered
     * @param start where the stream begins
     * @return the handle
     * @throws LockstepException with {@link Status#IO} if a socket cannot be opened
     */
    public static Participant connect(Endpoint endpoint, Delivery delivery, Start start) {
        return new Participant(endpoint, delivery, start);
    }

    /**
     * Opens a name and polls until it has its id.
     *
     * @param name the name
     * @param timeout how long at most
     * @param handler receives all events of these polls. It must not call its own handle. The first exception that it
     *     throws is thrown on when the call ends; the name may be open then
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name, Duration timeout, EventHandler handler) {
        return doOpen(name, timeout, handler);
    }
}
