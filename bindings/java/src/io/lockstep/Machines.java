package io.lockstep;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
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
    /** Bytes of an input or of its effects for which memory is shared with the native side. */
    private static final int SHARED = 65_536;
    /** The bytes of an input's numbers. */
    private static final int ROW = 88;

    final int version;

    private final Supplier<? extends Machine> factory;
    private final Map<Long, Machine> machines = new HashMap<>();
    /** What the native side is given and gives: an input, and its effects. */
    private final ByteBuffer input = ByteBuffer.allocateDirect(SHARED).order(ByteOrder.nativeOrder());
    private final ByteBuffer effects = ByteBuffer.allocateDirect(SHARED).order(ByteOrder.nativeOrder());
    private final ByteBuffer readInput = input.asReadOnlyBuffer();
    private final Output output = new Output(effects);
    private final Trial.Messages messages;
    private final Consumer<Machine> invariant;
    private long last;
    /** The machine that was asked for last. */
    private long present;
    private Machine presentMachine;
    /** Of the input that is being applied, an odd number; even: none is. */
    private long turn;
    private Throwable thrown;

    Machines(Supplier<? extends Machine> factory, Trial.Messages messages, Consumer<Machine> invariant) {
        this.factory = Objects.requireNonNull(factory, "factory");
        this.messages = messages;
        this.invariant = invariant;
        this.version = made().version();
    }

    Machine machine(long number) {
        if (number != present) {
            presentMachine = machines.get(number);
            present = number;
        }
        return presentMachine;
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

    /** The payload and the user lie in `input`. */
    private byte[] apply() {
        return apply(null, null);
    }

    /** A payload and a user that are null lie in `input`. */
    private byte[] apply(byte[] payload, byte[] user) {
        output.begin(input.getLong(56));
        turn++;
        try {
            machine(input.getLong(48)).apply(input(payload, user), output);
            return null;
        } catch (Throwable error) {
            return why(error);
        } finally {
            turn++;
            output.end();
        }
    }

    /** The input in `input`, whose row lockstep_machine_jni.c lays out. */
    private Input input(byte[] payload, byte[] user) {
        int payloadLength = input.getInt(80);
        int userLength = input.getInt(84);
        byte[] name = userLength < 0 || user != null ? user : copied(ROW + payloadLength, userLength);
        return new Input(InputKind.of(input.getInt(64)), input.getLong(0), input.getLong(8), input.getInt(68),
                input.getLong(16), input.getInt(72), name == null ? null : new String(name, StandardCharsets.UTF_8),
                input.getLong(24), input.getLong(32), input.getLong(40), input.getInt(76), payload, this, payloadLength,
                turn);
    }

    /** A copy of the payload of this input, if it is being applied. */
    byte[] payload(long of, int length) {
        checkTurn(of);
        return copied(ROW, length);
    }

    /** The payload of this input, if it is being applied. */
    ByteBuffer payloadBuffer(long of, int length) {
        checkTurn(of);
        return readInput.slice(ROW, length);
    }

    private void checkTurn(long of) {
        if (of != turn) {
            throw new LockstepException(Status.CLOSED_HANDLE,
                    "this input was applied before: its payload is asked for first within apply, and may be copied there");
        }
    }

    private byte[] copied(int from, int length) {
        byte[] copy = new byte[length];
        input.get(from, copy);
        return copy;
    }

    private byte[] snapshot(long machine) {
        try {
            bytes = Objects.requireNonNull(machine(machine).snapshot(), "snapshot returns null");
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] query(long machine, byte[] request) {
        Throwable before = thrown;
        try {
            bytes = Objects.requireNonNull(machine(machine).query(request), "query returns null");
            return null;
        } catch (Throwable error) {
            byte[] why = why(error);
            thrown = before; // a question ends no replica
            return why;
        }
    }

    private byte[] settings(long machine) {
        try {
            bytes = machine(machine).settings().getBytes(StandardCharsets.UTF_8);
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private byte[] stateText(long machine) {
        Throwable before = thrown;
        try {
            bytes = machine(machine).stateText().getBytes(StandardCharsets.UTF_8);
            return null;
        } catch (Throwable error) {
            byte[] why = why(error);
            thrown = before; // nor does this
            return why;
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
            invariant.accept(machine(machine));
            return null;
        } catch (Throwable error) {
            return why(error);
        }
    }

    private void destroy(long machine) {
        machines.remove(machine);
        present = 0;
        presentMachine = null;
    }
}
