package io.lockstep;

/**
 * What became of the messages of a handle so far, in numbers of messages.
 *
 * @param committed in the stream for ever
 * @param discarded in the stream, and delivered by no reader, as the process was held up between the parts of a message
 * @param diverged another message stands under the number
 * @param fenced never stamped, as a newer process has opened the name
 * @param closed never stamped, as the publisher was closed before
 * @param unknown nobody knows: {@link Kind#OUTCOMES_UNKNOWN} was reported
 * @param open without an outcome so far
 */
public record Outcomes(
        long committed, long discarded, long diverged, long fenced, long closed, long unknown, long open) {

    /**
     * Whether each message is in the stream for ever, and readers deliver it.
     *
     * @return whether it is so
     */
    public boolean areAllCommitted() {
        return (discarded | diverged | fenced | closed | unknown | open) == 0;
    }
}
