// A replicated counter: the machine of docs/APPLY.md in Java. `Counter NUMBER [ADDRESS:PORT [SNAPSHOT_EVERY]]` is a
// replica of it.

import io.lockstep.App;
import io.lockstep.AppSettings;
import io.lockstep.Endpoint;
import io.lockstep.Input;
import io.lockstep.InputKind;
import io.lockstep.Lockstep;
import io.lockstep.Machine;
import io.lockstep.Output;
import io.lockstep.PublishingHandle;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;

/** Messages by their publisher. */
final class Counter implements Machine {
    private static final int TOTALS = Lockstep.CHANNELS + 1;
    private static final long QUIET = 1;

    private final Map<Integer, Long> counts = new TreeMap<>();

    private long total() {
        long sum = 0;
        for (long count : counts.values()) {
            sum += count;
        }
        return sum;
    }

    @Override
    public void apply(Input input, Output output) {
        if (input.kind() == InputKind.MESSAGE && input.destination() == PublishingHandle.EVERYBODY) {
            counts.merge(input.publisher(), 1L, Long::sum);
            output.publish(("total " + total()).getBytes(), TOTALS);
            output.timerAfter(QUIET, 2_000_000_000L);
        } else if (input.kind() == InputKind.TIMER) {
            output.publish(("quiet at " + total()).getBytes(), TOTALS);
        }
    }

    @Override
    public byte[] snapshot() {
        StringBuilder rows = new StringBuilder();
        counts.forEach((publisher, count) -> rows.append(publisher).append(' ').append(count).append('\n'));
        return rows.toString().getBytes();
    }

    @Override
    public void restore(byte[] state) {
        for (String row : new String(state).lines().toList()) {
            String[] words = row.split(" ");
            counts.put(Integer.valueOf(words[0]), Long.valueOf(words[1]));
        }
    }

    @Override
    public byte[] query(byte[] request) {
        return ("total " + total()).getBytes();
    }

    public static void main(String[] args) {
        AppSettings settings = new AppSettings("counter", Integer.parseInt(args[0]), "counter-" + args[0]);
        settings.serve(args.length > 1 ? args[1] : null);
        settings.snapshotEvery(args.length > 2 ? Long.parseLong(args[2]) : 100_000);
        AtomicBoolean goesOn = new AtomicBoolean(true);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            goesOn.set(false);
            try {
                main.join(1_000);
            } catch (InterruptedException late) {
                Thread.currentThread().interrupt();
            }
        }));
        try (Endpoint endpoint = Endpoint.fromEnv()) {
            App.run(endpoint, settings, Counter::new, goesOn::get);
        }
    }
}
