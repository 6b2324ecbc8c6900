package io.lockstep;

import java.util.Objects;

/** Where a subscription begins. */
public final class Start {
    // Written from bindings/api.toml: kinds of starts.
    static final int LIVE = 0;
    static final int FROM = 1;
    static final int OLDEST = 2;
    static final int CURSOR = 3;
    // End of what is written from bindings/api.toml.

    private static final Cursor NOWHERE = new Cursor(0, 0, 0);

    final int kind;
    final long seq;
    final Cursor cursor;

    private Start(int kind, long seq, Cursor cursor) {
        this.kind = kind;
        this.seq = seq;
        this.cursor = cursor;
    }

    /**
     * At the end of the stream as it is at the first poll.
     *
     * @return the start
     */
    public static Start live() {
        return new Start(LIVE, 0, NOWHERE);
    }

    /**
     * At a seq.
     *
     * @param seq the first seq to be delivered; the first of the stream is 1
     * @return the start
     */
    public static Start from(long seq) {
        return new Start(FROM, seq, NOWHERE);
    }

    /**
     * At the oldest entry that a journal has.
     *
     * @return the start
     */
    public static Start oldest() {
        return new Start(OLDEST, 0, NOWHERE);
    }

    /**
     * At a position that an earlier run has reached.
     *
     * @param cursor the position
     * @return the start
     */
    public static Start at(Cursor cursor) {
        return new Start(CURSOR, 0, Objects.requireNonNull(cursor, "cursor"));
    }
}
