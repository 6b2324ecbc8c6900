package io.lockstep;

import java.nio.charset.StandardCharsets;

/** A call has failed: {@link #getMessage} says what failed, where, and what to do. */
public final class LockstepException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The number of the status, known to this version or not. */
    private final int code;

    LockstepException(int code, String message) {
        super(message);
        this.code = code;
    }

    LockstepException(Status status, String message) {
        this(status.number(), message);
    }

    /** The last failure of this thread, which was reported as a negative status. */
    static LockstepException last(long result) {
        return new LockstepException((int) -result, new String(Native.error(), StandardCharsets.UTF_8));
    }

    /**
     * The reason as a constant.
     *
     * @return the status
     */
    public Status status() {
        return Status.of(code);
    }

    /**
     * The number of the status in {@code lockstep.h}.
     *
     * @return the number
     */
    public int code() {
        return code;
    }
}
