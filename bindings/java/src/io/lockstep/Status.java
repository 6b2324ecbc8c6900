package io.lockstep;

import java.util.Arrays;

/** The result of a call. */
public enum Status {
    /** A status that this version does not know: {@link LockstepException#code} has its number. */
    UNKNOWN(-1),
    // Written from bindings/api.toml: statuses.
    /** It is done. */
    OK(0),
    /** The window is full: poll, and publish again. */
    BACKPRESSURE(1),
    /** The publisher is not open in this handle. */
    NOT_OPEN(2),
    /** The message is longer than the stream, the channel or (for a claim) one datagram takes. */
    TOO_LONG(3),
    /** Numbers before the given one are missing: neither handed in here nor read in the stream. */
    AHEAD_OF_NUMBER(4),
    /** A newer process has opened the name. */
    FENCED(5),
    /** The publisher is closed. */
    CLOSED(6),
    /** The name is empty or too long, or the handle has too many. */
    NAME(16),
    /** No leader answered in time. */
    TIMED_OUT(17),
    /** The cluster's table of publishers is full. */
    TABLE_FULL(18),
    /** The key of this process does not allow it. */
    NOT_ALLOWED(19),
    /**
     * A request has no answer, and none is awaited: its outcome is unknown, no reader delivers it, or the subscription
     * has ended.
     */
    UNANSWERED(20),
    /** The operating system refused a call. */
    IO(32),
    /** The configuration is wrong or cannot be read. */
    CONFIG(33),
    /** An argument is NULL where it may not be, not UTF-8, or out of its range. */
    ARGUMENT(34),
    /** The handle is NULL: it was closed, or never connected. */
    CLOSED_HANDLE(35),
    /** A defect of lockstep: the handle refuses all further calls. Please report the text. */
    PANIC(36),
    /** The handle was connected in another process, of which this one is a fork. */
    OTHER_PROCESS(37),
    /**
     * A call has the handle already: that of another thread, or the poll whose callback this is. Or somebody else has
     * the file open.
     */
    IN_USE(38),
    /** A callback of a machine has failed: its replica, or its trial, has ended. */
    MACHINE(39),
    /** A replica of a machine cannot go on: its stream, its state or its snapshots need an operator. */
    REPLICA(40),
    /** A machine does not stand its trial: the text has the rule, what has broken it, and the story. */
    TRIAL(41);
    // End of what is written from bindings/api.toml.

    private static final Status[] BY_NUMBER = byNumber();

    private final int number;

    Status(int number) {
        this.number = number;
    }

    private static Status[] byNumber() {
        int last = 0;
        for (Status one : values()) {
            last = Math.max(last, one.number);
        }
        Status[] all = new Status[last + 1];
        Arrays.fill(all, UNKNOWN);
        for (Status one : values()) {
            if (one != UNKNOWN) {
                all[one.number] = one;
            }
        }
        return all;
    }

    /**
     * The status with a number.
     *
     * @param number the number in {@code lockstep.h}
     * @return the constant, or {@link #UNKNOWN}
     */
    public static Status of(int number) {
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
