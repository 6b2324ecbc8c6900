package io.lockstep;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.LongStream;

/**
 * A judge of a {@link Machine}: it runs a whole cluster in a simulated network, with gateways, clients, and copies of the
 * machine that are killed and come back from snapshots, once for each seed. A seed gives the same run every time.
 *
 * @param <M> the class of the machine
 */
public final class Trial<M extends Machine> {
    private final Supplier<M> factory;
    private Messages messages;
    private Consumer<M> invariant;
    private long first = 1;
    private long repeated = 1;

    /** What the clients of a trial send. */
    @FunctionalInterface
    public interface Messages {
        /**
         * A message.
         *
         * @param user the client, from 0
         * @param number its number, from 1
         * @return the content
         */
        byte[] of(long user, long number);
    }

    /**
     * How much of a machine was run: what was not run was not judged.
     *
     * @param seeds seeds that were run
     * @param inputsJudged states that were judged
     * @param lastSeed the last seed that was run
     * @param messages messages
     * @param sessions clients that logged in, and that went
     * @param names names that were opened or closed
     * @param days trading days that began or ended
     * @param outputs messages that were published
     * @param timersSet timers that were set, replaced ones included
     * @param timersCancelled timers that were cancelled while they were pending
     * @param timersFired timers that fired
     * @param snapshots snapshots that copies wrote
     * @param restored states that were restored from a snapshot
     * @param takeovers leaders that were replaced meanwhile
     */
    public record Report(long seeds, long inputsJudged, long lastSeed, long messages, long sessions, long names, long days,
            long outputs, long timersSet, long timersCancelled, long timersFired, long snapshots, long restored,
            long takeovers) {}

    /**
     * A trial of the machine that the factory makes.
     *
     * @param factory makes a machine at the stream's beginning
     */
    public Trial(Supplier<M> factory) {
        this.factory = Objects.requireNonNull(factory, "factory");
    }

    /**
     * What clients send. Default: the number, as 8 bytes.
     *
     * @param sent the messages
     * @return this
     */
    public Trial<M> messages(Messages sent) {
        messages = sent;
        return this;
    }

    /**
     * What holds after each input.
     *
     * @param holds throws where it does not
     * @return this
     */
    public Trial<M> invariant(Consumer<M> holds) {
        invariant = holds;
        return this;
    }

    /**
     * The first seed. Default 1.
     *
     * @param seed the seed
     * @return this
     */
    public Trial<M> first(long seed) {
        first = seed;
        return this;
    }

    /**
     * Runs one seed in so many a second time, to see that the same inputs give the same states. Default: each.
     *
     * @param oneIn one in how many
     * @return this
     */
    public Trial<M> repeated(long oneIn) {
        repeated = oneIn;
        return this;
    }

    /**
     * Runs so many seeds.
     *
     * @param seeds how many
     * @return how much was run
     * @throws LockstepException with {@link Status#TRIAL} if a rule is broken, with {@link Status#MACHINE} if the machine
     *     has thrown: with the simplest run of it, and its story
     */
    public Report run(long seeds) {
        Machines machines = machines();
        long[] plan = {seeds, first, repeated};
        long[] of = new long[14];
        long result = Native.trial(machines, machines.version, plan, messages != null, invariant != null, of);
        return report(machines, result, of);
    }

    /**
     * Applies inputs to a machine and its twin, which is restored from a snapshot after every so many of them, and
     * compares outputs and states, with no world around: for unit tests. Timers fire before the first input that is at or
     * behind their time; in the end time leaps to those that are pending.
     *
     * @param inputs the inputs
     * @param every after how many the twin is restored, 1 or more
     * @return how much was run
     * @throws LockstepException as of {@link #run}
     */
    public Report apply(List<Input> inputs, long every) {
        Machines machines = machines();
        long[] numbers = inputs.stream().flatMapToLong(Trial::numbers).toArray();
        byte[][] payloads = inputs.stream().map(Input::payload).toArray(byte[][]::new);
        byte[][] users = inputs.stream().map(Trial::user).toArray(byte[][]::new);
        long[] of = new long[14];
        long result =
                Native.twice(machines, machines.version, numbers, payloads, users, every, invariant != null, of);
        return report(machines, result, of);
    }

    /**
     * Nanoseconds that an input costs in a machine, on average over so many messages of 48 bytes to everybody, each with
     * the output that the machine publishes for it. No cluster is around.
     *
     * @param factory makes the machine; null: the counter of docs/APPLY.md in Rust, for comparison
     * @param messages how many, 1 or more
     * @return nanoseconds
     * @throws LockstepException if the machine has thrown, or messages is 0 or less
     */
    public static double applyCost(Supplier<? extends Machine> factory, long messages) {
        if (messages <= 0) {
            throw new LockstepException(Status.ARGUMENT, "messages is " + messages + ": there is nothing to measure");
        }
        Machines machines = factory == null ? null : new Machines(factory, null, null);
        double[] cost = new double[1];
        long result = Native.applyCost(machines, machines == null ? 0 : machines.version, messages, cost);
        if (result < 0) {
            throw machines == null ? LockstepException.last(result) : machines.verdict(result);
        }
        return cost[0];
    }

    /** The numbers of an input, in the order in which lockstep_machine_jni.c reads them. */
    private static LongStream numbers(Input input) {
        return LongStream.of(input.kind().ordinal(), input.seq(), input.time(), input.publisher(), input.publisherSeq(),
                input.destination(), input.key(), input.due(), input.value(), input.detail());
    }

    private static byte[] user(Input input) {
        return input.user() == null ? null : input.user().getBytes(StandardCharsets.UTF_8);
    }

    @SuppressWarnings("unchecked")
    private Machines machines() {
        return new Machines(factory, messages, machine -> invariant.accept((M) machine));
    }

    private static Report report(Machines machines, long result, long[] of) {
        if (result < 0) {
            throw machines.verdict(result);
        }
        return new Report(of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7], of[8], of[9], of[10], of[11], of[12],
                of[13]);
    }
}
