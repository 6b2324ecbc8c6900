package io.lockstep;

/**
 * A deterministic program over the stream: its state is a function of the inputs in their order, so that copies of it
 * that run anywhere apply the same and each of its outputs is in the stream once. {@link App} runs a copy, {@link Trial}
 * judges it; {@code docs/APPLY.md} has the rules.
 *
 * <p>An exception of {@link #apply}, {@link #snapshot}, {@link #restore} or {@link #settings} ends its replica: nothing
 * of that input is published, and the call of {@link App} in which it happened throws it again.
 */
public interface Machine {
    /**
     * The version of its rules and of its snapshots: it rises with each change of {@link #apply}.
     *
     * @return the version; by default 1
     */
    default int version() {
        return 1;
    }

    /**
     * Applies the next input.
     *
     * @param input the input
     * @param output takes what follows from it, until this returns
     */
    void apply(Input input, Output output);

    /**
     * The whole state. Equal states have equal bytes.
     *
     * @return the bytes
     */
    byte[] snapshot();

    /**
     * Takes a state that {@link #snapshot} of this version has returned. It is called of a machine that is new.
     *
     * @param state the bytes
     */
    void restore(byte[] state);

    /**
     * Answers a question about the state, which it does not change. An exception ends nothing: the answer is empty, and
     * the log has its text.
     *
     * @param request the question
     * @return the answer; by default empty
     */
    default byte[] query(byte[] request) {
        return new byte[0];
    }

    /**
     * What all copies have alike beside their rules, as a text for people.
     *
     * @return the text; by default empty: nothing is compared
     */
    default String settings() {
        return "";
    }

    /**
     * The state as a text for people, which a debugger prints. An exception ends nothing: its text stands there instead.
     *
     * @return the text; by default empty: the snapshot is printed
     */
    default String stateText() {
        return "";
    }
}
