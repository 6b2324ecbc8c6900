package io.lockstep;

/** The events of one poll of a {@link MergedSubscriber}. Each handle has one, and fills it anew with each poll. */
public final class MergedBatch {
    private final Batch batch;
    private final MergedEvent event;

    MergedBatch(Batch batch, MergedEvent event) {
        this.batch = batch;
        this.event = event;
    }

    /**
     * How many events there are.
     *
     * @return the number
     */
    public int size() {
        return batch.size();
    }

    /**
     * The work that the poll has done. 0 is an idle turn: there was nothing to receive or to deliver.
     *
     * @return the work
     */
    public long work() {
        return batch.work();
    }

    /**
     * An event. The same object shows each of them: read one before you ask for the next.
     *
     * @param index from 0 to below {@link #size}
     * @return the event, valid until the next call of this method and until the next poll of the handle
     * @throws IndexOutOfBoundsException if there is no such event
     */
    public MergedEvent event(int index) {
        event.event = batch.event(index);
        return event;
    }
}
