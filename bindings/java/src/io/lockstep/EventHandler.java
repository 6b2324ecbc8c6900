package io.lockstep;

/** Receives the events of a poll, one by one. */
@FunctionalInterface
public interface EventHandler {
    /**
     * Receives one event. If it throws, the poll ends with that exception, and the events behind this one are
     * delivered by the next poll.
     *
     * @param event the event, valid until the call returns: the same object shows the next one
     */
    void onEvent(Event event);
}
