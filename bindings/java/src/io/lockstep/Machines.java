package io.lockstep;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * The machines of one replica or one trial, by the numbers that the native side has for them. Its methods are called by
 * lockstep_jni.c in the thread that is in a call of {@link App} or {@link Trial}; what a machine throws waits in here
 * until that call has returned.
 */
final class Machines {
    final int version;

    private final Supplier<? extends Machine> factory;
    private final Map<Long, Machine> machines = new HashMap<>();
    private final Output output = new Output();
    private final Trial.Messages messages;
    private final Consumer<Machine> invariant;
    private long last;
    private Throwable thrown;

    Machines(Supplier<? extends Machine> factory, Trial.Messages messages, Consumer<Machine> invariant) {
        this.factory = Objects.requireNonNull(factory, "factory");
        this.messages = messages;
        this.invariant = invariant;
        this.version = made().version();
    }

    Machine machine(long number) {
        return machines.get(number);
    }

    /** What a machine has thrown first, if that is why a call has failed; else its last failure. */
    RuntimeException failure(long result) {
        Throwable first = thrown;
        thrown = null;
        if (first != null && Status.of((int) -result) == Status.MACHINE) {
            if (first instanceof Error error) {
                throw error;
            }
            return first instanceof RuntimeException unchecked ? unchecked : new IllegalStateException(first);
        }
        return LockstepException.last(result);
    }

    /** What a trial has found; what the machine threw is its cause. */
    LockstepException verdict(long result) {
        LockstepException verdict = LockstepException.last(result);
        if (verdict.status() == Status.MACHINE && thrown != null) {
            verdict.initCause(thrown);
        }
        return verdict;
    }

    private Machine made() {
        return Objects.requireNonNull(factory.get(), "the factory makes no machine");
    }

    private long add(Machine machine) {
        machines.put(++last, machine);
        return last;
    }

    /** The text of what was thrown, in UTF-8 with a 0 at its end. */
    private byte[] why(Throwable error) {
        if (thrown == null) {
            thrown = error;
        }
        return (error.toString().replace('\0', ' ') + "\0").getBytes(StandardCharsets.UTF_8);
    }

    // Each returns null, or why it has failed. A result is in `number` or `bytes`.

    /** The machine that was made last. */
    private long number;
    /** The bytes that were asked for last. */
    private byte[] bytes;

    private byte[] create() {
        try {
            number = add(made());
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] restore(byte[] state) {
        try {
            Machine machine = made();
            machine.restore(state);
            number = add(machine);
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] apply(long machine, long address, int kind, long seq, long time, int publisher, long publisherSeq,
            int destination, byte[] user, byte[] payload, long key, long due, long value, int detail) {
        output.address = address;
        try {
            String name = user == null ? null : new String(user, StandardCharsets.UTF_8);
            machines.get(machine).apply(new Input(InputKind.of(kind), seq, time, publisher, publisherSeq, destination,
                    name, payload, key, due, value, detail), output);
            return null;
        } catch (Throwable error) {
            return why(error);
        } finally {
            output.address = 0;
        }
    }

    private byte[] snapshot(long machine) {
        try {
            bytes = Objects.requireNonNull(machines.get(machine).snapshot(), "snapshot returns null");
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] query(long machine, byte[] request) {
        Throwable before = thrown;
        try {
            bytes = Objects.requireNonNull(machines.get(machine).query(request), "query returns null");
            return null;
        } catch (Throwable error) {
            byte[] why = why(error);
            thrown = before; // a question ends no replica
            return why;
        }
    }

    private byte[] settings(long machine) {
        try {
            bytes = machines.get(machine).settings().getBytes(StandardCharsets.UTF_8);
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] message(long user, long number) {
        try {
            bytes = Objects.requireNonNull(messages.of(user, number), "the message is null");
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] judge(long machine) {
        try {
            invariant.accept(machines.get(machine));
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private void destroy(long machine) {
        machines.remove(machine);
    }
}
