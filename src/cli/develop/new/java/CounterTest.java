import io.lockstep.Input;
import io.lockstep.InputKind;
import io.lockstep.PublishingHandle;
import io.lockstep.Trial;
import java.util.List;
import java.util.stream.LongStream;

/** Tests of the machine: inputs by hand, beside a twin that is restored from snapshots, and a trial under faults. */
final class CounterTest {
    private CounterTest() {}

    /** Messages to everybody, the first ones of the stream. */
    private static List<Input> messages(long count) {
        return LongStream.rangeClosed(1, count)
                .mapToObj(seq -> new Input(InputKind.MESSAGE, seq, seq * 1_000_000, (int) (seq % 3), seq,
                        PublishingHandle.EVERYBODY, null, "a message".getBytes(), 0, 0, 0, 0))
                .toList();
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void eachMessageHasItsTotalAlsoBehindASnapshot() {
        Trial.Report report = new Trial<>(Counter::new).apply(messages(20), 1);
        check(report.outputs() == 21, "twenty totals, and one word of quiet: " + report);
    }

    private static void noCounterEverForgetsAMessage() {
        Trial.Report report = new Trial<>(Counter::new)
                .messages((user, number) -> ("message " + number + " of " + user).getBytes())
                .run(20);
        check(report.restored() > 0 && report.timersFired() > 0, "copies are restored, and timers fire: " + report);
    }

    public static void main(String[] args) {
        eachMessageHasItsTotalAlsoBehindASnapshot();
        noCounterEverForgetsAMessage();
        System.out.println("both tests passed");
    }
}
