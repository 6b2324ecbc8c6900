package io.lockstep;

import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * A replica of a {@link Machine} on a cluster, without a loop: it works in {@link #turn}. Its calls are those of one
 * thread at a time.
 *
 * <p>What the machine throws ends the replica, and is thrown by the call in which it happened: nothing of that input is
 * published, and each turn behind it is refused with {@link Status#MACHINE}.
 */
public final class App implements AutoCloseable {
    /** Between two looks at an idle replica at most. */
    private static final long PAUSE_NANOS = 1_000_000;

    private final Machines machines;
    private long app;

    private App(Endpoint endpoint, AppSettings settings, Machines machines) {
        this.machines = machines;
        app = endpoint.open(settings, machines);
    }

    /**
     * Opens a replica, prints where it begins to stderr, and runs it until {@code goesOn} returns false. Where the
     * environment has LOCKSTEP_DEBUG it is {@link #debug} instead.
     *
     * @param endpoint the cluster
     * @param settings the settings
     * @param factory makes a machine at the stream's beginning
     * @param goesOn asked between two turns
     * @throws LockstepException as of {@link #open} and {@link #turn}
     */
    public static void run(Endpoint endpoint, AppSettings settings, Supplier<? extends Machine> factory,
            BooleanSupplier goesOn) {
        String asked = System.getenv("LOCKSTEP_DEBUG");
        if (asked != null && !asked.isEmpty()) {
            debug(endpoint, settings, factory);
            return;
        }
        try (App app = open(endpoint, settings, factory)) {
            System.err.println("this copy begins at seq " + app.state().next());
            app.run(goesOn);
        }
    }

    /**
     * Opens a terminal on stdin and stdout that steps a machine along the committed stream, forward and back, from its
     * beginning; {@code h} lists its commands. It publishes nothing, and opens no name. It returns when stdin ends, or
     * after the command {@code x}.
     *
     * @param endpoint the cluster
     * @param settings the settings, of which it takes the name
     * @param factory makes a machine at the stream's beginning
     * @throws LockstepException with {@link Status#REPLICA} if the stream cannot be read from its beginning
     */
    public static void debug(Endpoint endpoint, AppSettings settings, Supplier<? extends Machine> factory) {
        endpoint.debug(settings, new Machines(factory, null, null));
    }

    /**
     * Restores the newest snapshot of the replica's folder, or of a peer, or begins with the factory's machine at the
     * beginning of the stream, and opens its names.
     *
     * @param endpoint the cluster
     * @param settings the settings
     * @param factory makes a machine at the stream's beginning
     * @return the replica
     * @throws LockstepException if the names cannot be opened, or with {@link Status#REPLICA} if an operator is needed
     */
    public static App open(Endpoint endpoint, AppSettings settings, Supplier<? extends Machine> factory) {
        return new App(endpoint, settings, new Machines(factory, null, null));
    }

    /**
     * Where a replica is.
     *
     * @param next every entry below is applied
     * @param time the stream's time
     * @param savedNext every entry below is in the newest snapshot of this replica
     * @param partings how often another replica had another state
     * @param isCaughtUp whether the stream was read up to its end once
     * @param isShadow whether another version is in force, so that this replica publishes nothing
     * @param isDrained whether every output and every report is committed
     */
    public record State(long next, long time, long savedNext, long partings, boolean isCaughtUp, boolean isShadow,
            boolean isDrained) {}

    /**
     * One turn: reads on, applies, publishes, and sees to snapshots and queries. Never waits.
     *
     * @return the work done; 0: there was none
     */
    public synchronized long turn() {
        return checked(Native.appTurn(opened()));
    }

    /**
     * Sleeps behind a turn without work, until something can be read or is due. It may return earlier.
     *
     * @param timeoutNanos nanoseconds after which it returns at the latest
     */
    public synchronized void await(long timeoutNanos) {
        if (timeoutNanos < 0) {
            throw new LockstepException(Status.ARGUMENT, "the timeout is negative: " + timeoutNanos + " ns");
        }
        checked(Native.appAwait(opened(), timeoutNanos));
    }

    /**
     * Turns for as long as it is wanted.
     *
     * @param goesOn asked between two turns, each millisecond at least
     */
    public void run(BooleanSupplier goesOn) {
        while (goesOn.getAsBoolean()) {
            if (turn() == 0) {
                await(PAUSE_NANOS);
            }
        }
    }

    /**
     * Where it is.
     *
     * @return the state
     */
    public synchronized State state() {
        long[] of = new long[7];
        checked(Native.appLook(opened(), of));
        return new State(of[0], of[1], of[2], of[3], of[4] != 0, of[5] != 0, of[6] != 0);
    }

    /**
     * The digest of the state: replicas that have applied the same have the same.
     *
     * @return the digest
     */
    public synchronized long digest() {
        long[] digest = new long[1];
        checked(Native.appDigest(opened(), digest));
        return digest[0];
    }

    /**
     * Puts the version of this replica in force: replicas of other versions go on as shadows.
     *
     * @return whether it does; false where it is none of the shadows, and nothing is done: its version is in force
     *     already, or none has taken over so far
     */
    public synchronized boolean takeOver() {
        return checked(Native.appTakeOver(opened())) != 0;
    }

    /**
     * The machine. To change it makes a copy that has parted from the others.
     *
     * @return the machine
     */
    public synchronized Machine machine() {
        return machines.machine(checked(Native.appMachine(opened())));
    }

    /** Frees the replica and its sockets. A second call does nothing. */
    @Override
    public synchronized void close() {
        if (app != 0) {
            Native.appClose(app);
            app = 0;
        }
    }

    private long opened() {
        if (app == 0) {
            throw new LockstepException(Status.CLOSED_HANDLE, "the replica is closed");
        }
        return app;
    }

    private long checked(long result) {
        if (result < 0) {
            throw machines.failure(result);
        }
        return result;
    }
}
