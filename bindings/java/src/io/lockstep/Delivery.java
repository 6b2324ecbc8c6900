package io.lockstep;

/** When a message is delivered. */
public enum Delivery {
    // Written from bindings/api.toml: deliveries.
    /** When the leader's datagram arrives; a takeover may retract it. */
    STAMPED(0),
    /** When a quorum holds it; final. */
    COMMITTED(1);
    // End of what is written from bindings/api.toml.

    private final int number;

    Delivery(int number) {
        this.number = number;
    }

    /**
     * The number in {@code lockstep.h}.
     *
     * @return the number
     */
    public int number() {
        return number;
    }
}
