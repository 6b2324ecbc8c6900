import com.sun.management.ThreadMXBean;
import io.lockstep.Batch;
import io.lockstep.Cursor;
import io.lockstep.CursorFile;
import io.lockstep.Delivery;
import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.EventHandler;
import io.lockstep.InputKind;
import io.lockstep.Kind;
import io.lockstep.Lockstep;
import io.lockstep.LockstepException;
import io.lockstep.Participant;
import io.lockstep.Publisher;
import io.lockstep.PublishingHandle;
import io.lockstep.Start;
import io.lockstep.Status;
import io.lockstep.Subscriber;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Pattern;

/**
 * Holds the promises of io.lockstep; tests/foreign/bindings/java.rs runs it.
 *
 * <pre>
 * Check numbers HEADER           the enums have the names and numbers of lockstep.h
 * Check refusals                 what is wrong is refused by its status and a text; needs no cluster
 * Check threads                  two threads do not use one handle at once
 * Check load NAME TAKEOVERS      publishes until so many were seen, and reads it back: each message has one outcome,
 *                                in order
 * Check stamped NAME TAKEOVERS   the same by a STAMPED subscription in batches: what is retracted is delivered anew
 * Check full NAME                backpressure is reported, and ends
 * Check garbage NAME MESSAGES    publishing and polling so many allocates nothing, neither on the heap nor beside it
 * </pre>
 */
final class Check {
    private static final long MILLISECOND = 1_000_000;
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    /** Bytes by which resident memory may grow: pages that compiler and allocator take late. */
    private static final long SLACK = 32 << 20;

    private static void check(boolean isSo, String what) {
        if (!isSo) {
            throw new AssertionError(what);
        }
    }

    /** Whether the call is refused in this way. */
    private static void refused(Status status, String words, Runnable call) {
        try {
            call.run();
        } catch (LockstepException error) {
            check(error.status() == status, "refused as " + error.status() + ", not as " + status);
            check(error.code() == status.number(), "the number of the status");
            check(error.getMessage().contains(words), "'" + words + "' is not in: " + error.getMessage());
            return;
        }
        throw new AssertionError("not refused as " + status);
    }

    private static void thrown(Class<? extends Throwable> type, String words, Runnable call) {
        try {
            call.run();
        } catch (RuntimeException error) {
            check(type.isInstance(error), "thrown is " + error);
            check(error.getMessage().contains(words), "'" + words + "' is not in: " + error.getMessage());
            return;
        }
        throw new AssertionError("not thrown: " + type);
    }

    // ------------------------------------------------------------------------ numbers

    private static Map<String, Integer> inHeader(String header, String prefix) {
        Map<String, Integer> found = new TreeMap<>();
        var numbers = Pattern.compile("^ +" + prefix + "([A-Z_0-9]+) = (\\d+),$", Pattern.MULTILINE).matcher(header);
        while (numbers.find()) {
            found.put(numbers.group(1), Integer.valueOf(numbers.group(2)));
        }
        check(found.size() > 1, "no " + prefix + " in the header");
        return found;
    }

    private static void numbers(String path) throws IOException {
        String header = Files.readString(Path.of(path));
        Map<String, Integer> kinds = new TreeMap<>();
        for (Kind kind : Kind.values()) {
            check(Kind.of(kind.number()) == kind, "the number of " + kind);
            kinds.put(kind.name(), kind.number());
        }
        kinds.remove("UNKNOWN");
        check(kinds.equals(inHeader(header, "LOCKSTEP_EVENT_KIND_")), "kinds: " + kinds);
        Map<String, Integer> inputs = new TreeMap<>();
        for (InputKind kind : InputKind.values()) {
            inputs.put(kind.name(), kind.ordinal());
        }
        inputs.remove("UNKNOWN");
        check(inputs.equals(inHeader(header, "LOCKSTEP_INPUT_KIND_")), "kinds of inputs: " + inputs);
        Map<String, Integer> statuses = new TreeMap<>();
        for (Status status : Status.values()) {
            check(Status.of(status.number()) == status, "the number of " + status);
            statuses.put(status.name(), status.number());
        }
        statuses.remove("UNKNOWN");
        check(statuses.equals(inHeader(header, "LOCKSTEP_STATUS_")), "statuses: " + statuses);
        Map<String, Integer> deliveries = new TreeMap<>();
        for (Delivery delivery : Delivery.values()) {
            deliveries.put(delivery.name(), delivery.number());
        }
        check(deliveries.equals(inHeader(header, "LOCKSTEP_DELIVERY_")), "deliveries: " + deliveries);
        for (int unknown : new int[] {0, 40, 64, 1000, -7, Integer.MAX_VALUE}) {
            check(Kind.of(unknown) == Kind.UNKNOWN, "a kind that is none: " + unknown);
        }
        check(Status.of(7) == Status.UNKNOWN, "a status that is none");
    }

    // ------------------------------------------------------------------------ refusals

    private static void refusals() throws IOException {
        check(!Lockstep.version().isEmpty(), "the version");
        refused(Status.CONFIG, "/nowhere/lockstep.toml", () -> Endpoint.fromFile("/nowhere/lockstep.toml"));
        refused(Status.CONFIG, "/nowhere/\u00fc\ud83d\ude80", () -> Endpoint.fromFile("/nowhere/\u00fc\ud83d\ude80"));
        refused(Status.ARGUMENT, "path has the character 0", () -> Endpoint.fromFile("a\0b"));
        refused(Status.ARGUMENT, "path has half of a surrogate", () -> Endpoint.fromFile("\ud83d"));
        refused(Status.ARGUMENT, "'here' is no cursor", () -> Cursor.parse("here"));
        Cursor cursor = Cursor.parse("1f:7:2a");
        check(cursor.equals(new Cursor(0x1f, 7, 0x2a)), "a cursor: " + cursor);
        check(Cursor.parse(cursor.toString()).equals(cursor), "a cursor that is read again");
        Cursor highest = new Cursor(-1, -1, -1);
        check(Cursor.parse(highest.toString()).equals(highest), "numbers beyond the signed ones: " + highest);
        cursorFiles(highest);
    }

    private static void cursorFiles(Cursor cursor) throws IOException {
        refused(Status.IO, "/nowhere/cursor", () -> CursorFile.open("/nowhere/cursor").close());
        refused(Status.ARGUMENT, "path has the character 0", () -> CursorFile.open("a\0b").close());
        Path folder = Files.createTempDirectory("lockstep-check-");
        Path path = folder.resolve("cursor");
        try (CursorFile file = CursorFile.open(path.toString())) {
            check(file.cursor().isEmpty(), "a cursor of no file");
            file.save(cursor);
        }
        CursorFile file = CursorFile.open(path.toString());
        check(file.cursor().orElseThrow().equals(cursor), "the cursor of a file");
        refused(Status.IN_USE, path.toString(), () -> CursorFile.open(path.toString()).close());
        file.close();
        file.close();
        refused(Status.CLOSED_HANDLE, "closed", file::cursor);
        for (String name : new String[] {"cursor", "cursor.lock"}) {
            Files.delete(folder.resolve(name));
        }
        Files.delete(folder);
    }

    /** Refusals of handles that are connected. */
    private static void wrongUses(Endpoint endpoint, Participant participant, int id) {
        int longest = participant.messageLenMax();
        int longestClaim = participant.claimLenMax();
        check(longestClaim > 0 && longestClaim <= longest, "the lengths");
        refused(Status.TOO_LONG, "", () -> participant.publish(id, new byte[longest + 1]));
        refused(Status.TOO_LONG, "", () -> participant.publish(id, ByteBuffer.allocateDirect(longest + 1)));
        refused(Status.TOO_LONG, "", () -> participant.claim(id, longestClaim + 1));
        refused(Status.NOT_OPEN, "", () -> participant.publish(id + 1, new byte[8]));
        refused(Status.NAME, "", () -> participant.open("", TIMEOUT, event -> { }));
        refused(Status.ARGUMENT, "day", () -> participant.startDay(id, ""));
        refused(Status.ARGUMENT, "seq 0",
                () -> Subscriber.connect(endpoint, Start.from(0)).close());
        thrown(IndexOutOfBoundsException.class, "", () -> participant.publish(id, new byte[8], 4, 5, 0));
        refused(Status.ARGUMENT, "read-only buffer on the heap",
                () -> participant.publish(id, ByteBuffer.allocate(8).asReadOnlyBuffer()));
        refused(Status.ARGUMENT, "length is negative", () -> participant.claim(id, -1));
        refused(Status.ARGUMENT, "limit is negative", () -> participant.poll(-1, event -> { }));
        refused(Status.ARGUMENT, "timeout is negative", () -> participant.await(-1));
        refused(Status.ARGUMENT, "timeout is negative",
                () -> participant.begin(Duration.ofSeconds(-1), event -> { }));
    }

    private static void closedHandles(Endpoint endpoint) {
        Publisher publisher = Publisher.connect(endpoint);
        Subscriber subscriber = Subscriber.connect(endpoint, Start.live(), Delivery.STAMPED);
        Batch batch = subscriber.pollBatch(64);
        publisher.close();
        subscriber.close();
        publisher.close();
        refused(Status.CLOSED_HANDLE, "the publisher is closed", () -> publisher.publish(1, new byte[1]));
        refused(Status.CLOSED_HANDLE, "the publisher is closed", () -> publisher.claim(1, 8));
        refused(Status.CLOSED_HANDLE, "the publisher is closed", () -> publisher.open("orders", TIMEOUT));
        refused(Status.CLOSED_HANDLE, "the publisher is closed", publisher::flush);
        refused(Status.CLOSED_HANDLE, "the subscriber is closed", () -> subscriber.pollBatch(64));
        refused(Status.CLOSED_HANDLE, "the subscriber is closed", () -> subscriber.poll(64, event -> { }));
        refused(Status.CLOSED_HANDLE, "the subscriber is closed", () -> subscriber.await(0));
        refused(Status.CLOSED_HANDLE, "the subscriber is closed", subscriber::cursor);
        for (int index = 0; index < batch.size(); index++) {
            check(batch.event(index).kind() != Kind.UNKNOWN, "an event behind the end of its handle");
        }
        thrown(IndexOutOfBoundsException.class, "", () -> batch.event(batch.size()));
        Endpoint another = Endpoint.fromEnv();
        another.close();
        another.close();
        refused(Status.CLOSED_HANDLE, "the endpoint is closed", another::cluster);
        refused(Status.CLOSED_HANDLE, "the endpoint is closed", () -> Publisher.connect(another));
    }

    // ------------------------------------------------------------------------ threads

    private static void threads(Endpoint endpoint) throws InterruptedException {
        closedHandles(endpoint);
        Participant participant = Participant.connect(endpoint);
        CountDownLatch begins = new CountDownLatch(1);
        Thread sleeper = new Thread(() -> {
            begins.countDown();
            long ends = System.nanoTime() + 3_000 * MILLISECOND;
            while (System.nanoTime() < ends) {
                try {
                    participant.await(100 * MILLISECOND);
                } catch (LockstepException ours) {
                    check(ours.status() == Status.IN_USE, ours.getMessage());
                }
            }
        }, "sleeper");
        sleeper.start();
        begins.await();
        int refusals = 0;
        while (sleeper.isAlive()) {
            try {
                participant.poll(64, event -> { });
            } catch (LockstepException refused) {
                check(refused.status() == Status.IN_USE, refused.getMessage());
                check(refused.getMessage().contains("'sleeper'"), refused.getMessage());
                refusals++;
            }
        }
        sleeper.join();
        check(refusals > 0, "two threads have never met");
        // Handed from one thread to another between two calls, it is used as before.
        participant.poll(64, event -> { });
        participant.close();
        refused(Status.CLOSED_HANDLE, "the participant is closed", () -> participant.await(0));
        System.out.println("two threads at once: refused");
    }

    // ------------------------------------------------------------------------ load

    /** A program that publishes numbers and reads them. */
    private static final class Load implements EventHandler {
        final Participant participant;
        int id;
        long next = 1;
        long committedNext = 1;
        long deliveredNext = 1;
        long lastSeq;
        long epochs;
        long events;
        /** After so many events the handler throws; 0: never. */
        final long throwsAfter;
        final byte[] array = new byte[8];
        final ByteBuffer inArray = ByteBuffer.wrap(array).order(ByteOrder.LITTLE_ENDIAN);
        final ByteBuffer direct = ByteBuffer.allocateDirect(8).order(ByteOrder.LITTLE_ENDIAN);

        Load(Endpoint endpoint, String name, long throwsAfter) {
            this.throwsAfter = throwsAfter;
            participant = Participant.connect(endpoint);
            participant.begin(TIMEOUT, this::onEventOfBegin);
            id = participant.open(name, TIMEOUT, this::onEventOfBegin);
            check(participant.fd() >= 0, "a descriptor");
            check(participant.dueNanos() >= 0, "a time");
            check(participant.isConnected(), "connected");
        }

        /** The handle is in a call: it takes no other one. */
        private void onEventOfBegin(Event event) {
            refused(Status.IN_USE, "must not call it otherwise", () -> participant.await(0));
            consume(event);
        }

        @Override
        public void onEvent(Event event) {
            consume(event);
            if (throwsAfter > 0 && ++events % throwsAfter == 0) {
                throw new ArithmeticException("thrown on purpose");
            }
        }

        private void consume(Event event) {
            switch (event.kind()) {
                case OUTCOME_COMMITTED -> {
                    if (event.publisher() == id) {
                        check(event.publisherSeq() == committedNext, "an outcome out of order");
                        committedNext++;
                    }
                }
                case MESSAGE -> onMessage(event);
                case EPOCH -> epochs++;
                case OUTCOMES_UNKNOWN, ABANDONED, REFUSED, DIVERGED -> throw new AssertionError(event.toString());
                default -> { }
            }
        }

        private void onMessage(Event event) {
            check(event.seq() > lastSeq, "a seq that does not rise");
            lastSeq = event.seq();
            if (event.publisher() != id) {
                return;
            }
            check(event.publisherSeq() == deliveredNext, "a message out of order");
            check(event.payloadLength() == 8, "the length of a message");
            ByteBuffer payload = event.payload();
            check(payload.remaining() == 8 && payload.isReadOnly(), "a payload");
            check(payload.getLong(payload.position()) == deliveredNext, "the content of a message");
            deliveredNext++;
        }

        /** Publishes the number that the message will have, in one of the ways that there are. */
        boolean publishNext() {
            long number;
            switch ((int) (next % 4)) {
                case 0 -> {
                    inArray.putLong(0, next);
                    number = participant.publish(id, array);
                }
                case 1 -> {
                    number = participant.claim(id, 8);
                    if (number >= 0) {
                        check(participant.claimed().remaining() == 8, "the place of a claimed message");
                        check(participant.claimed().getLong(0) == 0, "a claimed message is empty");
                        participant.claimed().putLong(0, number);
                    }
                }
                case 2 -> {
                    direct.putLong(0, next);
                    number = participant.publish(id, direct);
                }
                default -> {
                    direct.putLong(0, next);
                    number = participant.publishAt(id, next, direct, Participant.EVERYBODY);
                }
            }
            if (number == PublishingHandle.BACKPRESSURE) {
                return false;
            }
            check(number == next, "the number of a message");
            next++;
            return true;
        }

        void turn() {
            try {
                if (participant.poll(256, this) == 0) {
                    participant.await(MILLISECOND);
                }
            } catch (ArithmeticException onPurpose) {
                check(throwsAfter > 0, "thrown by nobody");
            }
        }
    }

    private static void load(Endpoint endpoint, String name, long takeovers) {
        Load load = new Load(endpoint, name, 101);
        Participant participant = load.participant;
        wrongUses(endpoint, participant, load.id);
        closedHandles(endpoint);
        check(load.publishNext(), "the first message");
        refused(Status.AHEAD_OF_NUMBER, "", () -> participant.publishAt(load.id, 1000, new byte[8], 0, 8, 0));
        refused(Status.AHEAD_OF_NUMBER, "",
                () -> participant.publishAt(load.id, 1000, ByteBuffer.allocateDirect(8), 0));
        boolean isPublishing = true;
        while (isPublishing || load.committedNext < load.next || load.deliveredNext < load.next) {
            isPublishing = load.epochs < takeovers || load.next <= 1000;
            long end = load.next + 64;
            while (isPublishing && load.next < end && load.publishNext()) { }
            load.turn();
            // A replica that was killed catches up only if something of the cores is left to it.
            LockSupport.parkNanos(MILLISECOND);
        }
        check(participant.isDrained(), "drained");
        check(participant.outcomes().areAllCommitted() && participant.outcomes().committed() > 0, "all are committed");
        check(!participant.isEnded(), "not ended");
        Batch rest = participant.pollBatch(0);
        Cursor cursor = participant.cursor().orElseThrow();
        check(cursor.seq() == participant.deliverNext(), "the cursor's seq");
        check(participant.commitNext() >= participant.deliverNext(), "committed is what was delivered");
        check(rest.work() >= 0, "work");
        withinHandlers(load);
        defaults(endpoint, name + "-defaults");
        System.out.println((load.next - 1) + " messages, each with one outcome, " + load.epochs + " takeovers");
    }

    /** Arguments that are left out: a subscription begins live. */
    private static void defaults(Endpoint endpoint, String name) {
        try (Subscriber subscriber = Subscriber.connect(endpoint); Publisher publisher = Publisher.connect(endpoint)) {
            subscriber.begin();
            check(subscriber.deliverNext() > 1, "it begins live");
            int id = publisher.open(name);
            long number = publisher.publish(id, "behind the beginning".getBytes(StandardCharsets.UTF_8));
            publisher.flush();
            boolean isDelivered = false;
            while (!isDelivered) {
                publisher.poll(event -> { });
                Batch batch = subscriber.pollBatch();
                for (int index = 0; index < batch.size(); index++) {
                    Event event = batch.event(index);
                    boolean isOwn = event.kind() == Kind.MESSAGE && event.publisher() == id;
                    check(!isOwn || event.publisherSeq() == number, "the first message behind the beginning");
                    isDelivered |= isOwn;
                }
            }
        }
    }

    /** A handler of poll may publish with its own handle and close it, and no more. */
    private static void withinHandlers(Load load) {
        Participant participant = load.participant;
        long[] published = new long[1];
        boolean[] closes = new boolean[1];
        participant.publish(load.id, "first".getBytes(StandardCharsets.UTF_8));
        EventHandler handler = event -> {
            refused(Status.IN_USE, "must not poll", () -> participant.pollBatch(1));
            refused(Status.IN_USE, "must not poll", () -> participant.poll(1, again -> { }));
            refused(Status.IN_USE, "cursor", participant::cursor);
            if (event.kind() == Kind.MESSAGE && event.payloadText().equals("first")) {
                published[0] = participant.publish(load.id, "second".getBytes(StandardCharsets.UTF_8));
            } else if (event.kind() == Kind.MESSAGE && event.publisherSeq() == published[0]) {
                check(event.payloadText().equals("second"), "the message that a handler has published");
                participant.close();
                closes[0] = true;
            }
        };
        while (!closes[0]) {
            participant.poll(256, handler);
        }
        refused(Status.CLOSED_HANDLE, "the participant is closed", () -> participant.poll(1, handler));
        refused(Status.CLOSED_HANDLE, "the participant is closed", () -> participant.pollBatch(1));
    }

    // ------------------------------------------------------------------------ stamped

    private static void stamped(Endpoint endpoint, String name, long takeovers) {
        // The messages that were delivered, by seq: a retract takes back its end.
        long[] seqs = new long[1 << 20];
        long[] numbers = new long[1 << 20];
        int depth = 0;
        long retracts = 0;
        long epochs = 0;
        long next = 1;
        long last = 0;
        ByteBuffer payload = ByteBuffer.allocateDirect(8).order(ByteOrder.LITTLE_ENDIAN);
        try (Subscriber subscriber = Subscriber.connect(endpoint, Start.from(1), Delivery.STAMPED);
                Publisher publisher = Publisher.connect(endpoint)) {
            int id = publisher.open(name, TIMEOUT);
            while (epochs < takeovers || last + 1 < next || !publisher.isDrained()) {
                for (int count = 0; count < 16 && epochs < takeovers; count++) {
                    payload.putLong(0, next);
                    if (publisher.publish(id, payload) < 0) {
                        break;
                    }
                    next++;
                }
                publisher.pollBatch(64);
                Batch batch = subscriber.pollBatch(256);
                for (int index = 0; index < batch.size(); index++) {
                    Event event = batch.event(index);
                    if (event.kind() == Kind.EPOCH) {
                        epochs++;
                    } else if (event.kind() == Kind.RETRACT) {
                        retracts++;
                        while (depth > 0 && seqs[depth - 1] >= event.seq()) {
                            depth--;
                        }
                        last = depth > 0 ? numbers[depth - 1] : 0;
                    } else if (event.kind() == Kind.MESSAGE && event.publisher() == id) {
                        long number = event.payload().getLong();
                        check(event.payloadLength() == 8, "the length of a message");
                        check(number == event.publisherSeq() && number == last + 1, "a message out of order");
                        check(depth == 0 || event.seq() > seqs[depth - 1], "a seq that does not rise");
                        if (depth == seqs.length) {
                            seqs = Arrays.copyOf(seqs, 2 * depth);
                            numbers = Arrays.copyOf(numbers, 2 * depth);
                        }
                        seqs[depth] = event.seq();
                        numbers[depth] = number;
                        depth++;
                        last = number;
                    }
                }
                if (batch.work() == 0) {
                    publisher.await(MILLISECOND);
                }
            }
        }
        check(depth + 1 == next, "each message has one place");
        System.out.println((next - 1) + " messages, " + retracts + " retracts, " + epochs + " takeovers");
    }

    // ------------------------------------------------------------------------ full and garbage

    private static void full(Endpoint endpoint, String name) {
        Load load = new Load(endpoint, name, 0);
        while (load.publishNext()) { }
        long published = load.next - 1;
        check(!load.participant.isDrained(), "drained while the window is full");
        while (load.committedNext < load.next) {
            load.turn();
        }
        check(load.publishNext(), "the window is free again");
        while (load.committedNext < load.next) {
            load.turn();
        }
        load.participant.close();
        System.out.println("full with " + published + " messages");
    }

    private static void garbage(Endpoint endpoint, String name, long measured) throws IOException {
        final long warmUp = 100_000;
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        check(threads.isThreadAllocatedMemoryEnabled(), "allocated memory is counted");
        Load load = new Load(endpoint, name, 0);
        long refused = publishAndPoll(load, warmUp);
        long resident = residentBytes();
        long before = threads.getCurrentThreadAllocatedBytes();
        refused += publishAndPoll(load, measured);
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;
        long grown = residentBytes() - resident;
        load.participant.close();
        // The counter does count: one object for each message would be found.
        before = threads.getCurrentThreadAllocatedBytes();
        byte[][] objects = new byte[1000][];
        for (int index = 0; index < objects.length; index++) {
            objects[index] = new byte[1];
        }
        check(threads.getCurrentThreadAllocatedBytes() - before >= 1000 * 16, "objects are counted");
        check(objects[999] != null, "objects");
        System.out.println(measured + " messages published and polled, " + refused + " times backpressure: " + allocated
                + " bytes allocated; resident memory grew by " + grown + " bytes");
        check(allocated == 0, "it allocates");
        check(grown < SLACK, "it grows");
    }

    /** What the process has in memory, the part beside the heap included. */
    private static long residentBytes() throws IOException {
        return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
    }

    /** Publishes messages and polls until all are committed and delivered, by both ways to poll. */
    private static long publishAndPoll(Load load, long messages) {
        long end = load.next + messages;
        long refused = 0;
        for (long turns = 0; load.committedNext < end || load.deliveredNext < end; turns++) {
            long most = Math.min(end, load.next + 64);
            while (load.next < most) {
                if (!load.publishNext()) {
                    refused++;
                    break;
                }
            }
            if (turns % 2 == 0) {
                load.turn();
            } else {
                Batch batch = load.participant.pollBatch(256);
                for (int index = 0; index < batch.size(); index++) {
                    load.onEvent(batch.event(index));
                }
            }
        }
        return refused;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("numbers")) {
            numbers(arguments[1]);
            return;
        }
        if (arguments[0].equals("refusals")) {
            refusals();
            return;
        }
        try (Endpoint endpoint = Endpoint.fromEnv()) {
            check(endpoint.cluster() != 0, "the cluster's number");
            long number = arguments.length > 2 ? Long.parseLong(arguments[2]) : 0;
            switch (arguments[0]) {
                case "threads" -> threads(endpoint);
                case "load" -> load(endpoint, arguments[1], number);
                case "stamped" -> stamped(endpoint, arguments[1], number);
                case "full" -> full(endpoint, arguments[1]);
                case "garbage" -> garbage(endpoint, arguments[1], number);
                default -> throw new AssertionError("no such check: " + arguments[0]);
            }
        }
    }
}
