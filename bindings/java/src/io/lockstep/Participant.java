package io.lockstep;

import java.time.Duration;

/**
 * Publishes messages into the stream and delivers the stream, over one device: for a program that does both in one
 * thread. Each datagram is received once. Its events are those of a {@link Publisher} and of a {@link Subscriber}.
 */
public final class Participant extends Handle implements PublishingHandle, ReadingHandle {
    private Participant(Endpoint endpoint, Start start, Delivery delivery) {
        super(endpoint, Native.PARTICIPANT, start, delivery);
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
    public static Participant connect(Endpoint endpoint, Start start, Delivery delivery) {
        return new Participant(endpoint, start, delivery);
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
    public static Participant connect(Endpoint endpoint, Start start) {
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
    public static Participant connect(Endpoint endpoint) {
        return connect(endpoint, Start.live(), Delivery.COMMITTED);
    }

    /**
     * Opens a name and polls until it has its id.
     *
     * @param name the name
     * @param timeout how long at most
     * @param handler receives all events of these polls. It may close its own handle, and must not call it otherwise. The
     *     first exception that it throws is thrown on when the call ends; the name may be open then
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name, Duration timeout, EventHandler handler) {
        return doOpen(name, timeout, handler);
    }

    /**
     * Opens a name and polls until it has its id. The events of these polls are lost.
     *
     * @param name the name
     * @param timeout how long at most
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name, Duration timeout) {
        return open(name, timeout, event -> {});
    }

    /**
     * Opens a name and polls until it has its id, for ten seconds at most. The events of these polls are lost.
     *
     * @param name the name
     * @return the id under which to publish
     * @throws LockstepException if it is refused, or no leader answers in time
     */
    public int open(String name) {
        return open(name, Defaults.TIMEOUT, event -> {});
    }

    /**
     * Publishes a request and polls until {@code handler} returns the answer, at most for {@code timeout}. The handler
     * receives every event of these polls, as every event is the program's and none comes again; the entries of the
     * stream behind the answer are left for the next poll. The answering application says in its message which request
     * it answers. A leader's death is no end: the request is sent again by itself, and is in the stream once.
     *
     * @param <A> what the program makes of an answer
     * @param publisher the id of an open name
     * @param payload the request
     * @param destination the addressee: {@link #EVERYBODY}, a publisher or a channel
     * @param timeout how long at most
     * @param handler finds the answer
     * @return what the handler has returned for it
     * @throws LockstepException with {@link Status#TIMED_OUT} if no answer came in time: one may come later, as an event
     *     of a later poll; with {@link Status#BACKPRESSURE} if the window was full for the whole time, and the request
     *     was not published; at once with {@link Status#FENCED}, {@link Status#CLOSED}, {@link Status#NOT_ALLOWED}, and
     *     {@link Status#UNANSWERED} where nobody knows an answer and none will be read
     */
    public <A> A request(int publisher, byte[] payload, int destination, Duration timeout, AnswerHandler<A> handler) {
        return doRequest(publisher, payload, destination, timeout, handler);
    }

    /**
     * Publishes a request to everybody and polls until {@code handler} returns the answer, at most for {@code timeout}.
     *
     * @param <A> what the program makes of an answer
     * @param publisher the id of an open name
     * @param payload the request
     * @param timeout how long at most
     * @param handler finds the answer
     * @return what the handler has returned for it
     * @throws LockstepException as of the method above
     */
    public <A> A request(int publisher, byte[] payload, Duration timeout, AnswerHandler<A> handler) {
        return request(publisher, payload, EVERYBODY, timeout, handler);
    }

    /**
     * Publishes a request to everybody and polls until {@code handler} returns the answer, for ten seconds at most.
     *
     * @param <A> what the program makes of an answer
     * @param publisher the id of an open name
     * @param payload the request
     * @param handler finds the answer
     * @return what the handler has returned for it
     * @throws LockstepException as of the method above
     */
    public <A> A request(int publisher, byte[] payload, AnswerHandler<A> handler) {
        return request(publisher, payload, EVERYBODY, Defaults.TIMEOUT, handler);
    }
}
