import io.lockstep.App;
import io.lockstep.AppSettings;
import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.Input;
import io.lockstep.InputKind;
import io.lockstep.Kind;
import io.lockstep.LockstepException;
import io.lockstep.Machine;
import io.lockstep.Output;
import io.lockstep.Participant;
import io.lockstep.Publisher;
import io.lockstep.Start;
import io.lockstep.Status;
import io.lockstep.Subscriber;
import io.lockstep.Trial;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.LongStream;

/**
 * Holds the promises of machines; tests/foreign/bindings.rs runs it.
 *
 * <pre>
 * MachineCheck trial           errors that are planted in a machine are found, and a right one stands its trial
 * MachineCheck fails FOLDER    an exception of apply ends the replica, and nothing of its input is published
 * MachineCheck large FOLDER    inputs and effects that are larger than what both sides share are whole and in order
 * MachineCheck debug FOLDER    steps a machine with words for its state by a script on stdin
 * MachineCheck copies FOLDER ADDRESS
 *                              copies have one digest, another's settings are refused, a version takes over, and a
 *                              query that throws ends nothing
 * </pre>
 */
final class MachineCheck {
    private static final long REMINDER = 1;
    /** A message has at most so many bytes. */
    private static final int MESSAGE_BYTES = 65_536;

    private MachineCheck() {}

    private static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Counts messages by their publisher, answers each with the count, and reminds of the newest one. */
    static class Ledger implements Machine {
        final Map<Integer, Long> counts = new TreeMap<>();
        long words;

        @Override
        public void apply(Input input, Output output) {
            if (input.kind() == InputKind.MESSAGE) {
                counts.merge(input.publisher(), 1L, Long::sum);
                words += input.payload().length;
                output.publish(bytes(answer(input)), input.publisher());
                output.timerAfter(REMINDER, 60_000_000_000L, input.payload());
            } else if (input.kind() == InputKind.TIMER) {
                output.publish(input.payload());
            }
        }

        String answer(Input input) {
            return counts.get(input.publisher()) + " of " + words;
        }

        @Override
        public byte[] snapshot() {
            StringBuilder rows = new StringBuilder(words + "\n");
            counts.forEach((publisher, count) -> rows.append(publisher).append(' ').append(count).append('\n'));
            return bytes(rows.toString());
        }

        @Override
        public void restore(byte[] state) {
            String[] rows = new String(state, StandardCharsets.UTF_8).split("\n");
            words = Long.parseLong(rows[0]);
            for (int row = 1; row < rows.length; row++) {
                String[] pair = rows[row].split(" ");
                counts.put(Integer.valueOf(pair[0]), Long.valueOf(pair[1]));
            }
        }
    }

    /** A clock in an output. */
    static final class Clocked extends Ledger {
        @Override
        String answer(Input input) {
            return "at " + System.nanoTime();
        }
    }

    /** A field that restore forgets. */
    static final class Forgetful extends Ledger {
        @Override
        public void restore(byte[] state) {
            super.restore(state);
            words = 0;
        }
    }

    /** An exception at the seventh message of anybody. */
    static final class Picky extends Ledger {
        @Override
        String answer(Input input) {
            if (counts.get(input.publisher()) == 7) {
                throw new IllegalStateException("seven is too many");
            }
            return "";
        }
    }

    /** Publishes what it has got, and throws behind that where the message is wrong. */
    static final class Failing extends Ledger {
        @Override
        public void apply(Input input, Output output) {
            if (input.kind() != InputKind.MESSAGE) {
                return;
            }
            String text = new String(input.payload(), StandardCharsets.UTF_8);
            output.publish(bytes("got " + text), input.publisher());
            if (text.equals("wrong")) {
                throw new IllegalStateException("this message is wrong");
            }
        }
    }

    /** Asks for a payload behind its apply, which it has seen within it or not. */
    static final class Late extends Ledger {
        private final boolean asksInTime;
        private Input earlier;

        Late(boolean asksInTime) {
            this.asksInTime = asksInTime;
        }

        @Override
        String answer(Input input) {
            String text = earlier == null ? "" : new String(earlier.payload(), StandardCharsets.UTF_8);
            earlier = input;
            return asksInTime ? text + input.payload().length : text;
        }

        @Override
        public void apply(Input input, Output output) {
            if (input.kind() == InputKind.MESSAGE) {
                output.publish(bytes(answer(input)), input.publisher());
            }
        }

        @Override
        public byte[] snapshot() {
            return earlier == null || !asksInTime ? new byte[0] : earlier.payload();
        }

        @Override
        public void restore(byte[] state) {
            earlier = state.length == 0 ? null : new Input(InputKind.MESSAGE, 1, 1, 1, 1, 0, null, state, 0, 0, 0, 0);
        }
    }

    /** Has a setting, and another version of its rules. A query ends the test, or throws. */
    static final class Limited extends Ledger {
        static boolean isEnded;
        private final int limit;
        private final int version;

        Limited(int limit, int version) {
            this.limit = limit;
            this.version = version;
        }

        @Override
        public int version() {
            return version;
        }

        @Override
        public String settings() {
            return "limit " + limit;
        }

        @Override
        public byte[] query(byte[] request) {
            String text = new String(request, StandardCharsets.UTF_8);
            if (text.equals("wrong")) {
                throw new IllegalStateException("nobody may ask this");
            }
            isEnded |= text.equals("end");
            return bytes(settings());
        }
    }

    /** Answers with parts of what it has got, and with the whole. */
    static final class Parts extends Ledger {
        @Override
        public void apply(Input input, Output output) {
            if (input.kind() == InputKind.MESSAGE) {
                ByteBuffer view = input.payloadBuffer();
                byte[] seen = new byte[input.payloadLength()];
                view.get(seen);
                boolean isWhole = !view.hasRemaining() && Arrays.equals(seen, input.payload());
                check(isWhole && view.isReadOnly(), input);
                view = input.payloadBuffer();
                check(view.isReadOnly() && view.equals(ByteBuffer.wrap(seen)), input);
                for (byte[] part : parts(input.payload())) {
                    output.publish(part, input.publisher());
                }
            }
        }

        static List<byte[]> parts(byte[] of) {
            int half = of.length / 2;
            return List.of(Arrays.copyOf(of, half), of, Arrays.copyOfRange(of, half, of.length), bytes("small"));
        }
    }

    private static <M extends Ledger> Trial<M> trial(Supplier<M> factory) {
        return new Trial<M>(factory).messages((user, number) -> bytes("message " + number + " of " + user));
    }

    /** Messages of one publisher, a second apart. */
    private static List<Input> messages(int count) {
        return LongStream.rangeClosed(1, count).mapToObj(seq -> new Input(InputKind.MESSAGE, seq, seq * 1_000_000_000,
                3, seq, 0, "somebody", bytes("a message"), 0, 0, 0, 0)).toList();
    }

    private static LockstepException refused(Trial<?> trial, Status status, String words) {
        return refused(() -> trial.run(3), status, words);
    }

    private static LockstepException refused(Supplier<Trial.Report> tried, Status status, String words) {
        try {
            throw new AssertionError(tried.get());
        } catch (LockstepException error) {
            check(error.status() == status && error.getMessage().contains(words), error);
            return error;
        }
    }

    private static void trials() {
        Trial.Report report = trial(Ledger::new).run(3);
        check(report.seeds() == 3 && report.messages() > 0 && report.restored() > 0, report);
        check(report.timersFired() > 0 && report.snapshots() > 0, report);
        refused(trial(Clocked::new), Status.TRIAL, "again: first ");
        refused(trial(Forgetful::new), Status.TRIAL, "again: first ");
        LockstepException picky = refused(trial(Picky::new), Status.MACHINE, "seven is too many");
        check(picky.getCause() instanceof IllegalStateException, picky.getCause());
        Trial<Ledger> lonely = trial(Ledger::new).invariant(ledger -> check(ledger.counts.size() <= 1, "a second one"));
        refused(lonely, Status.TRIAL, "a second one");
        check(trial(Ledger::new).apply(messages(6), 1).timersFired() == 1, "the timer fires");
        refused(() -> trial(Clocked::new).apply(messages(6), 1), Status.TRIAL, "seq 1");
        refused(() -> trial(Forgetful::new).apply(messages(6), 1), Status.TRIAL, "seq ");
        refused(() -> trial(Picky::new).apply(messages(7), 1), Status.MACHINE, "seven is too many");
        refused(() -> trial(Ledger::new).apply(messages(1), 0), Status.ARGUMENT, "every");
        check(trial(() -> new Late(true)).apply(messages(6), 1).outputs() == 6, "a payload that was seen stays");
        refused(() -> trial(() -> new Late(false)).apply(messages(2), 1), Status.MACHINE, "this input was applied before");
        System.out.println("planted errors are found");
    }

    private static void fails(String folder) {
        try (Endpoint endpoint = Endpoint.fromEnv(); Publisher publisher = Publisher.connect(endpoint)) {
            int orders = publisher.open("orders", Duration.ofSeconds(10));
            for (String text : new String[] {"one", "wrong", "two"}) {
                publisher.publish(orders, bytes(text));
            }
            for (long turns = 0; !publisher.isDrained(); turns++) {
                check(turns < 20_000, "each message has an outcome");
                if (publisher.poll(64, event -> { }) == 0) {
                    publisher.await(1_000_000);
                }
            }
            AppSettings settings = new AppSettings("failing", 1, folder).snapshotEvery(1);
            try (App app = App.open(endpoint, settings, Failing::new)) {
                String text = null;
                for (long turns = 0; text == null; turns++) {
                    check(turns < 20_000, "it ends");
                    try {
                        if (app.turn() == 0) {
                            app.await(1_000_000);
                        }
                    } catch (IllegalStateException error) {
                        text = error.getMessage();
                    }
                }
                check(text.equals("this message is wrong"), text);
                try {
                    throw new AssertionError(app.turn());
                } catch (LockstepException error) {
                    check(error.status() == Status.MACHINE && error.getMessage().contains(text), error);
                }
            }
            try (Subscriber reader = Subscriber.connect(endpoint, Start.from(1))) {
                boolean[] isCaughtUp = {false};
                while (!isCaughtUp[0]) {
                    long work = reader.poll(64, event -> look(event, orders, isCaughtUp));
                    if (work == 0) {
                        reader.await(5_000_000);
                    }
                }
            }
        }
        System.out.println("an exception ends its replica");
    }

    private static void large(String folder) {
        byte[] payload = new byte[MESSAGE_BYTES];
        for (int at = 0; at < payload.length; at++) {
            payload[at] = (byte) (at * 7 + at / 251);
        }
        List<byte[]> answers = new ArrayList<>();
        try (Endpoint endpoint = Endpoint.fromEnv();
                Participant participant = Participant.connect(endpoint, Start.from(1))) {
            participant.begin(Duration.ofSeconds(10), event -> { });
            int orders = participant.open("large", Duration.ofSeconds(10), event -> { });
            participant.publish(orders, payload);
            try (App app = App.open(endpoint, new AppSettings("parts", 1, folder), Parts::new)) {
                turnUntil(List.of(app), () -> {
                    participant.poll(64, event -> {
                        if (event.kind() == Kind.MESSAGE && event.destination() == orders) {
                            byte[] answer = new byte[event.payload().remaining()];
                            event.payload().get(answer);
                            answers.add(answer);
                        }
                    });
                    return answers.size() == 4;
                });
            }
        }
        List<byte[]> expected = Parts.parts(payload);
        for (int at = 0; at < 4; at++) {
            check(Arrays.equals(answers.get(at), expected.get(at)), "answer " + at);
        }
        // An input may be larger than a message, in a list.
        byte[] large = new byte[3 * MESSAGE_BYTES];
        Input input = new Input(InputKind.MESSAGE, 1, 1_000_000_000, 3, 1, 0, "somebody", large, 0, 0, 0, 0);
        Trial<Ledger> trial = trial(Ledger::new).invariant(ledger -> check(ledger.words == large.length, ledger.words));
        check(trial.apply(List.of(input), 1).inputsJudged() == 1, "it is judged");
        System.out.println("large ones are whole");
    }

    private static App limited(Endpoint endpoint, String folder, int number, int limit, int version, String serve) {
        AppSettings settings = new AppSettings("limited", number, folder + "/" + number);
        settings.serve(serve).shadow(version > 1);
        return App.open(endpoint, settings, () -> new Limited(limit, version));
    }

    /** Turns replicas until it is so. */
    private static void turnUntil(List<App> apps, BooleanSupplier isSo) {
        long end = System.nanoTime() + 60_000_000_000L;
        while (!isSo.getAsBoolean()) {
            check(System.nanoTime() < end, "it takes a minute");
            long work = apps.stream().mapToLong(App::turn).sum();
            if (work == 0) {
                apps.get(0).await(1_000_000);
            }
        }
    }

    private static boolean isDone(App app) {
        return app.state().isCaughtUp() && app.state().isDrained();
    }

    private static void copies(String folder, String address) {
        try (Endpoint endpoint = Endpoint.fromEnv(); Publisher publisher = Publisher.connect(endpoint)) {
            int orders = publisher.open("orders", Duration.ofSeconds(10));
            publisher.publish(orders, bytes("one"));
            publisher.publish(orders, bytes("two"));
            try (App first = limited(endpoint, folder, 1, 100, 1, address);
                    App second = limited(endpoint, folder, 2, 100, 1, null)) {
                List<App> both = List.of(first, second);
                turnUntil(both, () -> publisher.poll(64, event -> { }) == 0 && publisher.isDrained());
                turnUntil(both, () -> isDone(first) && isDone(second));
                turnUntil(both, () -> first.state().next() == second.state().next());
                check(first.digest() == second.digest(), "one digest");
                check(first.state().partings() == 0, first.state());

                // The first copy's settings are those of the version.
                try (App other = limited(endpoint, folder, 3, 200, 1, null)) {
                    turnUntil(List.of(other), () -> false);
                } catch (LockstepException error) {
                    check(error.status() == Status.REPLICA, error);
                    check(error.getMessage().contains("limit 200") && error.getMessage().contains("limit 100"), error);
                }

                // Another version is a shadow until it takes over.
                try (App next = limited(endpoint, folder, 4, 300, 2, null)) {
                    List<App> versions = List.of(first, next);
                    turnUntil(versions, () -> isDone(next) && next.state().isShadow());
                    check(!first.state().isShadow(), first.state());
                    check(!first.takeOver(), "none has taken over so far");
                    turnUntil(versions, () -> isDone(first) && isDone(next));
                    check(next.state().isShadow() && next.takeOver(), "a shadow takes over");
                    turnUntil(versions, () -> first.state().isShadow() && !next.state().isShadow());
                    check(!next.takeOver(), "it is in force already");
                }

                System.err.println("asks");
                turnUntil(List.of(first), () -> Limited.isEnded);
                for (int turns = 0; turns < 100; turns++) { // its answer is written
                    first.turn();
                }
            }
        }
    }

    private static void look(Event event, int orders, boolean[] isCaughtUp) {
        isCaughtUp[0] |= event.kind() == Kind.CAUGHT_UP;
        if (event.kind() == Kind.MESSAGE && event.destination() == orders) {
            check(event.payloadText().equals("got one"), event);
        }
    }

    /** Has words for its state, but for one. */
    static final class Worded extends Ledger {
        @Override
        public String stateText() {
            long messages = counts.values().stream().mapToLong(Long::longValue).sum();
            if (messages == 3) {
                throw new IllegalStateException("there are no words for it");
            }
            return messages + " messages";
        }
    }

    public static void main(String[] args) {
        switch (args[0]) {
            case "trial" -> trials();
            case "fails" -> fails(args[1]);
            case "large" -> large(args[1]);
            case "debug" -> App.debug(Endpoint.fromEnv(), new AppSettings("worded", 1, args[1]), Worded::new);
            case "copies" -> copies(args[1], args[2]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }
}
