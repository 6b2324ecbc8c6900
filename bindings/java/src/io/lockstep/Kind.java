package io.lockstep;

import java.util.Arrays;

/**
 * The kinds of events, and the fields that each uses: the others are 0. A new kind gets a new number, and a
 * program ignores kinds that it does not know.
 */
public enum Kind {
    /** A kind that this version does not know: {@link Event#kindNumber} has its number. */
    UNKNOWN(-1),
    // Written from bindings/api.toml: kinds of events.
    /**
     * The next message: {@code seq}, {@code publisher}, {@code publisherSeq}, {@code destination}, {@code timestamp};
     * the payload.
     */
    MESSAGE(1),
    /** Everything below {@code seq} is final ({@code stamped} subscriptions, once per poll). */
    COMMITTED(2),
    /** What was reported from {@code seq} on did not survive a takeover ({@code stamped} subscriptions). */
    RETRACT(3),
    /** A new leadership begins at {@code seq}; {@code value} is the epoch. */
    EPOCH(4),
    /** The membership from {@code seq} on has {@code value} members. */
    MEMBERSHIP(5),
    /**
     * A name is opened: {@code seq}, {@code timestamp}, {@code publisher}; {@code publisherSeq} is the number of its
     * last message, {@code detail} its incarnation, {@code value} and {@code value2} its nonce; the payload is the
     * name.
     */
    OPENED(6),
    /**
     * A publisher is closed: {@code seq}, {@code timestamp}, {@code publisher}; the payload is the reason that its
     * owner gave.
     */
    CLOSED(7),
    /** A gateway reports to other gateways that it runs: {@code seq}, {@code publisher}. */
    GATEWAY_HEARTBEAT(8),
    /** The frame whose last entry was reported before; the payload is its bytes. */
    FRAME(9),
    /** An entry without meaning for applications: {@code seq}; {@code detail} is the entry's kind. */
    FILTERED(10),
    /**
     * A trading day begins ({@code detail} 1) or ends (0): {@code seq}, {@code timestamp}; the payload is the day's
     * name.
     */
    DAY(11),
    /**
     * The leader carries out an operator's order: {@code seq}, {@code timestamp}; {@code detail} is the order; the
     * payload is the name of the operator's key. Of an order of time (6), which sets the stream's time back to
     * {@code timestamp}, {@code value} is the time before.
     */
    ORDERED(12),
    /** Messages from {@code seq} to below {@code value} are missing, and requested. */
    GAP(13),
    /**
     * The subscription has ended: nobody sends what is missing from {@code seq} on. {@code value} is the oldest seq
     * that can be had, {@code detail} the reason.
     */
    ABANDONED(14),
    /**
     * A message in parts that began at {@code seq} is discarded, and the subscription goes on: {@code publisher};
     * {@code detail} is 1 for the bytes that are unfinished, 2 for its length, 3 for the entries behind its first part,
     * {@code value} the limit; or 4 if it began before the subscription did, then {@code seq} is where it ended.
     */
    PARTS_DISCARDED(15),
    /** No multicast group brings the leader any more ({@code detail} 1), or they do again (0). */
    MULTICAST(16),
    /** Everything below {@code seq} that was seen is delivered. */
    CAUGHT_UP(17),
    /** Entries from {@code seq} on that nobody has in memory are read from a journal over TCP. */
    REPLAYING(18),
    /**
     * The subscription has ended: it cannot begin, or continue, at {@code seq}. {@code detail} is the reason, 0 if no
     * journal could be reached.
     */
    REFUSED(19),
    /** From {@code seq} on the stream is of the history {@code value}, founded on the history {@code value2}. */
    FOUNDED(20),
    /**
     * The subscription has ended, or the publisher's outcomes are unknown: the history {@code value} was founded at
     * {@code seq}, below what was final here, {@code value2}.
     */
    HISTORY_LOST(21),
    /**
     * The subscription has ended: the leader's log ends at {@code value}, and {@code seq} would be next here;
     * {@code value2} is the epoch.
     */
    AHEAD(22),
    /** Commit has lagged behind stamping by {@code value} entries for {@code value2} nanoseconds. */
    LAG(23),
    /** The subscription has ended: log and cluster differ at {@code seq}. */
    DIVERGED(24),
    /** A replica of a state machine reports to the others of that machine: {@code seq}, {@code publisher}. */
    MACHINE_REPORT(25),
    /** A coordinator or an operator writes about the streams of a set: {@code seq}, {@code publisher}. */
    SET_NOTE(26),
    /**
     * A publisher's name is open: {@code publisher}; {@code publisherSeq} is the number of its next message,
     * {@code value} that of its last committed one, {@code detail} the ticket of the call that opened it.
     */
    NAME_OPENED(65),
    /**
     * The leader refuses a name: {@code detail} is its ticket; {@code value} is 1 if the table of publishers is full
     * (then {@code value2} is its size), 2 if the key of this process does not allow the name.
     */
    NAME_REFUSED(66),
    /**
     * The key of this process does not allow a message: {@code publisher}, {@code publisherSeq}. It is sent again until
     * the key's rights change.
     */
    NOT_ALLOWED(67),
    /** A message has its place: {@code publisher}, {@code publisherSeq}, {@code seq}. A takeover may take it back. */
    OUTCOME_STAMPED(68),
    /**
     * The reported place of a message did not survive a takeover; it is sent again by itself: {@code publisher},
     * {@code publisherSeq}.
     */
    OUTCOME_UNSTAMPED(69),
    /** A message has its place for ever: {@code publisher}, {@code publisherSeq}, {@code seq}. */
    OUTCOME_COMMITTED(70),
    /** The cluster's window is full: messages wait here. */
    THROTTLED(71),
    /** The cluster takes messages again. */
    UNTHROTTLED(72),
    /**
     * Another message stands under a number that was published here: {@code publisher}, {@code publisherSeq},
     * {@code seq}.
     */
    OUTCOME_DIVERGED(73),
    /** A newer process has opened the name: nothing from {@code publisherSeq} on is stamped: {@code publisher}. */
    OUTCOME_FENCED(74),
    /** The publisher is closed: nothing from {@code publisherSeq} on is stamped: {@code publisher}. */
    OUTCOME_CLOSED(75),
    /** Outcomes are unknown and the handle is of no more use: open the names in a new one. */
    OUTCOMES_UNKNOWN(76),
    /**
     * A message in parts has its place for ever, and no reader delivers it, as its publisher was held up between its
     * parts: {@code publisher}, {@code publisherSeq}, {@code seq}. Publish it again, if it still holds.
     */
    OUTCOME_DISCARDED(77);
    // End of what is written from bindings/api.toml.

    private static final Kind[] BY_NUMBER = byNumber();

    private final int number;

    Kind(int number) {
        this.number = number;
    }

    private static Kind[] byNumber() {
        int last = 0;
        for (Kind one : values()) {
            last = Math.max(last, one.number);
        }
        Kind[] all = new Kind[last + 1];
        Arrays.fill(all, UNKNOWN);
        for (Kind one : values()) {
            if (one != UNKNOWN) {
                all[one.number] = one;
            }
        }
        return all;
    }

    /**
     * The kind with a number.
     *
     * @param number the number in {@code lockstep.h}
     * @return the constant, or {@link #UNKNOWN}
     */
    public static Kind of(int number) {
        return number >= 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : UNKNOWN;
    }

    /**
     * The number in {@code lockstep.h}.
     *
     * @return the number; -1 for {@link #UNKNOWN}
     */
    public int number() {
        return number;
    }
}
