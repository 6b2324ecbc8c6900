// What an input costs in Java beside Rust: a machine core applies messages to the counter of docs/APPLY.md in both, in
// turn. `ApplyCost [MESSAGES [ROUNDS]]` needs no cluster.

import io.lockstep.Trial;
import java.util.Arrays;

/** Prints medians, with the least and the most. */
final class ApplyCost {
    private ApplyCost() {}

    private static void print(String language, double[] costs) {
        Arrays.sort(costs);
        System.out.printf("%s: %.0f ns/message [%.0f-%.0f]%n", language, costs[costs.length / 2], costs[0],
                costs[costs.length - 1]);
    }

    public static void main(String[] args) {
        long messages = args.length > 0 ? Long.parseLong(args[0]) : 200_000;
        int rounds = args.length > 1 ? Integer.parseInt(args[1]) : 7;
        double[] inRust = new double[rounds];
        double[] inJava = new double[rounds];
        for (int round = 0; round < rounds; round++) {
            inRust[round] = Trial.applyCost(null, messages);
            inJava[round] = Trial.applyCost(Counter::new, messages);
        }
        print("Rust", inRust);
        print("Java", inJava);
    }
}
