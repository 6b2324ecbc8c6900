package io.lockstep;

/** Delivers the stream. */
public final class Subscriber extends Handle implements ReadingHandle {
    private Subscriber(Endpoint endpoint, Start start, Delivery delivery) {
        super(endpoint, Native.SUBSCRIBER, start, delivery);
    }

    /**
     * Opens the sockets and joins the groups of a cluster. The stream begins with the first poll.
     *
     * @param endpoint which cluster
     * @param start where the stream begins
     * @param delivery when a message is delivered
     * @return the handle
     * @throws LockstepException with {@link Status#IO} if a socket cannot be opened
     */
    public static Subscriber connect(Endpoint endpoint, Start start, Delivery delivery) {
        return new Subscriber(endpoint, start, delivery);
    }

    /**
     * Opens the sockets and joins the groups of a cluster. The stream begins with the first poll; a message is
     * delivered when it is committed.
     *
     * @param endpoint which cluster
     * @param start where the stream begins
     * @return the handle
     * @throws LockstepException with {@link Status#IO} if a socket cannot be opened
     */
    public static Subscriber connect(Endpoint endpoint, Start start) {
        return connect(endpoint, start, Delivery.COMMITTED);
    }

    /**
     * Opens the sockets and joins the groups of a cluster. The stream begins {@linkplain Start#live live}: what was
     * published before is not delivered.
     *
     * @param endpoint which cluster
     * @return the handle
     * @throws LockstepException with {@link Status#IO} if a socket cannot be opened
     */
    public static Subscriber connect(Endpoint endpoint) {
        return connect(endpoint, Start.live(), Delivery.COMMITTED);
    }
}
