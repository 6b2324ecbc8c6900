package io.lockstep;

/**
 * The kinds of inputs of a {@link Machine}, and the fields that each uses beside {@code seq} and {@code time}: the others
 * are 0, empty or null.
 */
public enum InputKind {
    /** A kind that this version does not know. */
    UNKNOWN,
    // Written from bindings/api.toml: kinds of inputs.
    /**
     * A message of anybody but this machine: {@code publisher}, {@code publisherSeq}, {@code destination}, {@code user}
     * where the publisher is a client of a gateway; the payload.
     */
    MESSAGE,
    /** A client has logged in at a gateway: {@code publisher}, {@code user}. */
    CONNECTED,
    /**
     * A client is gone: {@code publisher}, {@code user}; {@code detail} is the reason, {@code value} is 1 if its user
     * wants its orders to be cancelled then.
     */
    DISCONNECTED,
    /**
     * A name that is no gateway's client is opened: {@code publisher}; {@code detail} is how often it was opened; the
     * payload is the name.
     */
    OPENED,
    /** A publisher that is no gateway's client is closed: {@code publisher}. */
    CLOSED,
    /** A trading day begins; the payload is its name. */
    DAY_START,
    /** The trading day ends. */
    DAY_END,
    /** A timer of this machine is due: {@code key}, {@code due}; the payload is what it was set with. */
    TIMER,
    /** The stream's time has moved, and nothing else. */
    TIME,
    /** The stream's time is set back to {@code time}; {@code value} is the time before. */
    TIME_SET_BACK,
    /** The cluster has {@code value} members from here on. */
    MEMBERSHIP;
    // End of what is written from bindings/api.toml.

    private static final InputKind[] BY_NUMBER = values();

    /** The kind of the number in {@code lockstep.h}, by which the constants are ordered. */
    static InputKind of(int number) {
        return number > 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : UNKNOWN;
    }
}
