package io.lockstep;

/**
 * Receives the events of a request, one by one, and finds the answer among them.
 *
 * @param <A> what the program makes of an answer
 */
@FunctionalInterface
public interface AnswerHandler<A> {
    /**
     * Receives one event. It may close the handle of the request, which ends with the request; any other call of it is
     * refused with {@link Status#IN_USE}. If it throws, the request ends with that exception; it may be published and
     * answered then.
     *
     * @param event the event, valid until the call returns: the same object shows the next one
     * @param number the request's number; 0 before it is published: what is returned then is not looked at
     * @return what the program makes of the answer; null if the event is not that
     */
    A onEvent(Event event, long number);
}
