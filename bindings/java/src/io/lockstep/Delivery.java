package io.lockstep;

/** When a message is delivered. */
public enum Delivery {
    /** When the leader's datagram arrives; a takeover may retract it. */
    STAMPED(0),
    /** When a quorum holds it; final. */
    COMMITTED(1);

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
