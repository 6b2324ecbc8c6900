package io.lockstep;

import java.nio.charset.StandardCharsets;

/**
 * A position in a stream. All three are unsigned numbers of 64 bits.
 *
 * @param history the history
 * @param seq the next seq
 * @param chain the chain over everything before it
 */
public record Cursor(long history, long seq, long chain) {
    /**
     * Reads a cursor from the text that {@link #toString} and {@code lockstep subscribe} write.
     *
     * @param text three hexadecimal or decimal numbers with colons between them, as they were written
     * @return the cursor
     * @throws LockstepException with {@link Status#ARGUMENT} if the text is no cursor
     */
    public static Cursor parse(String text) {
        long[] numbers = new long[3];
        long result = Native.cursorParse(Handle.text("text", text), numbers);
        if (result < 0) {
            throw LockstepException.last(result);
        }
        return new Cursor(numbers[0], numbers[1], numbers[2]);
    }

    /**
     * The cursor as a text, as {@code lockstep subscribe} prints it.
     *
     * @return the text
     */
    @Override
    public String toString() {
        return new String(Native.cursorPrint(history, seq, chain), StandardCharsets.UTF_8);
    }
}
