import io.lockstep.Input;
import io.lockstep.Machine;
import io.lockstep.Output;
import io.lockstep.Trial;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.function.LongConsumer;

/**
 * What of an input's cost in a machine of Java is the virtual machine's: an upcall into a method without a body, beside
 * the counter of docs/APPLY.md in Rust and in Java, and a machine that does nothing, in turn, by the time that the thread
 * had on a core. floor.c has the upcall, and the lines that build and run both.
 */
final class Floor {
    /** Rounds before those that count. */
    private static final int WARM_UP = 10;
    private static final String[] NAMES = {"Rust's counter", "an empty upcall", "Java, nothing", "Java's counter"};

    /** A machine that does nothing. */
    private static final class Nothing implements Machine {
        @Override
        public void apply(Input input, Output output) {}

        @Override
        public byte[] snapshot() {
            return new byte[0];
        }

        @Override
        public void restore(byte[] state) {}
    }

    private static long calls;

    private Floor() {}

    /** Calls {@link #empty} so many times. */
    private static native void upcalls(long count);

    private static void empty() {
        calls++;
    }

    private static double median(double[] of) {
        Arrays.sort(of);
        return of[of.length / 2];
    }

    public static void main(String[] words) {
        System.load(words[0]);
        long messages = Long.parseLong(words[1]);
        int rounds = Integer.parseInt(words[2]);
        LongConsumer[] works = {count -> Trial.applyCost(null, count), Floor::upcalls,
            count -> Trial.applyCost(Nothing::new, count), count -> Trial.applyCost(Counter::new, count)};
        ThreadMXBean threads = ManagementFactory.getThreadMXBean();
        double[][] costs = new double[works.length][rounds];
        for (int round = -WARM_UP; round < rounds; round++) {
            for (int at = 0; at < works.length; at++) {
                long began = threads.getCurrentThreadCpuTime();
                works[at].accept(messages);
                long took = threads.getCurrentThreadCpuTime() - began;
                if (round >= 0) {
                    costs[at][round] = took / (double) messages;
                }
            }
        }
        for (int at = works.length - 1; at >= 0; at--) {
            double[] ratios = new double[rounds];
            for (int round = 0; round < rounds; round++) {
                ratios[round] = costs[at][round] / costs[0][round];
            }
            double ratio = median(ratios);
            System.out.printf("%s: %.0f ns, %.2f of Rust's counter in the same round [%.2f-%.2f]%n", NAMES[at],
                    median(costs[at].clone()), ratio, ratios[rounds / 4], ratios[rounds * 3 / 4]);
        }
    }
}
