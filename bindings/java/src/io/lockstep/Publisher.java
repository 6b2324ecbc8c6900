package io.lockstep;

import java.time.Duration;

/** Publishes messages into the stream. Its events are their outcomes. */
public final class Publisher extends Handle implements PublishingHandle {
    private Publisher(Endpoint endpoint) {
        super(endpoint, Native.PUBLISHER, Start.live(), Delivery.COMMITTED);
    }

    /**
     * Opens the sockets and joins the groups of a cluster.
     *
     * @param endpoint which cluster
     * @return the handle
     * @throws LockstepException with {@link Status#IO} if a socket cannot be opened
     */
    public static Publisher connect(Endpoint endpoint) {
        return new Publisher(endpoint);
    }

    /**
     * Opens a name and polls until it has its id. Events of these polls that concern other names are lost: open names
     * first.
     *
     * @param name the name
     * @param timeout how long at most
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name, Duration timeout) {
        return doOpen(name, timeout, event -> {});
    }

    /**
     * Opens a name and polls until it has its id, for ten seconds at most.
     *
     * @param name the name
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name) {
        return open(name, Defaults.TIMEOUT);
    }
}
