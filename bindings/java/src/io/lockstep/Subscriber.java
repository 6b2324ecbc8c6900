package io.lockstep;

/** Delivers the stream. */
public final class Subscriber extends Handle implements ReadingHandle {
    private Subscriber(Endpoint endpoint, Delivery delivery, Start start) {
        super(endpoint, Native.SUBSCRIBER, delivery, start);
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
    public static Subscriber connect(Endpoint endpoint, Delivery delivery, Start start) {
        return new Subscriber(endpoint, delivery, start);
    }
}
