package io.lockstep;

/** Collects the effects of an input, in order, while it is applied: a call behind that is refused. */
public final class Output {
    /** That of the native side; 0: none is being applied. */
    long address;

    Output() {}

    /**
     * Publishes a message: it is in the stream once, whichever copies of the machine run.
     *
     * @param payload its content
     * @param destination {@link PublishingHandle#EVERYBODY}, a publisher, or a channel from
     *     {@link Lockstep#CHANNELS} on
     */
    public void publish(byte[] payload, int destination) {
        checked(Native.outputPublish(opened(), destination, payload));
    }

    /**
     * Sets a timer by the stream's time. It comes back as an input, once, and never earlier; one with this key that is
     * pending is replaced.
     *
     * @param key its key
     * @param at when it is due, nanoseconds since the Unix epoch
     * @param payload what comes back with it
     */
    public void timerAt(long key, long at, byte[] payload) {
        checked(Native.outputTimer(opened(), false, key, at, payload));
    }

    /**
     * Sets a timer that is due so long behind the input.
     *
     * @param key its key
     * @param after nanoseconds
     * @param payload what comes back with it
     */
    public void timerAfter(long key, long after, byte[] payload) {
        checked(Native.outputTimer(opened(), true, key, after, payload));
    }

    /**
     * Cancels a timer, if it is pending.
     *
     * @param key its key
     */
    public void cancel(long key) {
        checked(Native.outputCancel(opened(), key));
    }

    private long opened() {
        if (address == 0) {
            throw new LockstepException(Status.CLOSED_HANDLE,
                    "the input of this output was applied before: an output takes effects within apply alone");
        }
        return address;
    }

    private static void checked(long result) {
        if (result < 0) {
            throw LockstepException.last(result);
        }
    }
}
