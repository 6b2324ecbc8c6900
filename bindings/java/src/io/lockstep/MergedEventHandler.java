package io.lockstep;

/** Receives the events of a poll of a {@link MergedSubscriber}, one by one. */
@FunctionalInterface
public interface MergedEventHandler {
    /**
     * Receives one event. If it throws, the poll ends with that exception, and the events behind this one are
     * delivered by the next poll.
     *
     * @param event the event, valid until the call returns: the same object shows the next one
     */
    void onEvent(MergedEvent event);
}
