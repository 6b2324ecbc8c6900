import io.lockstep.Event;
import io.lockstep.Kind;
import io.lockstep.LockstepException;
import io.lockstep.MergedEvent;
import io.lockstep.MergedSubscriber;

/**
 * Reads the streams of a set in their one order:
 *
 * <pre>LOCKSTEP_CONFIG=FILE java -cp lockstep.jar Merged.java [START [COUNT]]</pre>
 *
 * <p>START is live, beginning, or what an earlier run has printed behind "resume with", by default live. It ends after
 * COUNT messages.
 */
final class Merged {
    private final MergedSubscriber merged;
    private int left;

    private Merged(MergedSubscriber merged, int count) {
        this.merged = merged;
        this.left = count;
    }

    private void onEvent(MergedEvent place) {
        Event event = place.event();
        if (event.kind() == Kind.MESSAGE) {
            System.out.println(place.number() + "\t" + merged.streamName(place.stream()) + "\t" + event.seq() + "\t"
                    + event.publisher() + ":" + event.publisherSeq() + "\t" + event.destination() + "\t"
                    + event.payloadText());
            left--;
        }
    }

    private void run() {
        while (left > 0 && !merged.isEnded()) {
            if (merged.poll(Math.min(left, 64), this::onEvent) == 0) {
                merged.await(10_000_000);
            }
        }
        System.out.println("resume with " + merged.cursor());
    }

    public static void main(String[] arguments) {
        String start = arguments.length > 0 ? arguments[0] : "live";
        int count = arguments.length > 1 ? Integer.parseInt(arguments[1]) : Integer.MAX_VALUE;
        try (MergedSubscriber merged = MergedSubscriber.connect(start)) {
            new Merged(merged, count).run();
        } catch (LockstepException error) {
            System.err.println(error.status() + ": " + error.getMessage());
            System.exit(1);
        }
    }
}
