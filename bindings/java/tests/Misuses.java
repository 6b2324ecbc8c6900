import io.lockstep.Cursor;
import io.lockstep.CursorFile;
import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.EventHandler;
import io.lockstep.Kind;
import io.lockstep.LockstepException;
import io.lockstep.MergedSubscriber;
import io.lockstep.Participant;
import io.lockstep.Publisher;
import io.lockstep.Start;
import io.lockstep.Status;
import io.lockstep.Subscriber;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Commits each misuse of docs/BINDINGS.md that Java can express, beside a cluster, and prints its name and the name of
 * the status that answers it; tests/foreign/bindings/misuses.rs compares them with the table.
 */
final class Misuses {
    private static final Duration TIMEOUT = Duration.ofSeconds(10);
    private static final Duration NEGATIVE = Duration.ofMillis(-1);
    private static final long MILLISECOND = 1_000_000;

    private final Endpoint endpoint = Endpoint.fromEnv();
    private final Participant participant = Participant.connect(endpoint);
    private final int id;

    private Misuses() {
        participant.begin(TIMEOUT, event -> { });
        id = participant.open("misuses-java", TIMEOUT, event -> { });
    }

    private static String word(Runnable call) {
        try {
            call.run();
        } catch (LockstepException refusal) {
            return refusal.status().name();
        } catch (RuntimeException other) {
            return other.getClass().getSimpleName();
        }
        return Status.OK.name();
    }

    private static void answer(String misuse, String word) {
        System.out.println(misuse + "\t" + word);
    }

    private static void answer(String misuse, Runnable call) {
        answer(misuse, word(call));
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private boolean isMessage(Event event, long number) {
        return event.kind() == Kind.MESSAGE && event.publisher() == id && event.publisherSeq() == number;
    }

    /** Polls until a handler has seen a message of ours. */
    private void asked(Runnable call) {
        long number = participant.publish(id, bytes("ask"));
        boolean[] isSeen = new boolean[1];
        EventHandler handler = event -> {
            if (isMessage(event, number)) {
                isSeen[0] = true;
                call.run();
            }
        };
        while (!isSeen[0]) {
            participant.await(MILLISECOND);
            participant.poll(64, handler);
        }
    }

    /** Polls until a message is delivered and committed, and some times more: whether that is so once. */
    private String once(long number, byte[] content) {
        int[] delivered = new int[1];
        int[] committed = new int[1];
        EventHandler handler = event -> {
            if (isMessage(event, number)) {
                byte[] payload = new byte[event.payload().remaining()];
                event.payload().duplicate().get(payload);
                delivered[0] += Arrays.equals(payload, content) ? 1 : 100;
            } else if (event.kind() == Kind.OUTCOME_COMMITTED && event.publisherSeq() == number) {
                committed[0]++;
            }
        };
        for (int more = 0; more < 20;) {
            more += delivered[0] > 0 && committed[0] > 0 ? 1 : 0;
            participant.await(MILLISECOND);
            participant.poll(64, handler);
        }
        return delivered[0] == 1 && committed[0] == 1 ? Status.OK.name() : "NOT_ONCE";
    }

    private void inHandlers() {
        asked(() -> answer("poll-in-callback", () -> participant.poll(1, event -> { })));
        long[] number = new long[1];
        String[] published = new String[1];
        asked(() -> published[0] = word(() -> number[0] = participant.publish(id, bytes("answer"))));
        String delivered = published[0].equals("OK") ? once(number[0], bytes("answer")) : published[0];
        answer("publish-in-callback", delivered);
    }

    /** The word of a call while another thread is in one. */
    private static String beside(Runnable waits, Runnable call) throws InterruptedException {
        AtomicBoolean isOver = new AtomicBoolean();
        Thread thread = new Thread(() -> {
            while (!isOver.get()) {
                word(waits);
            }
        });
        thread.start();
        String word = "OK";
        for (int tries = 0; word.equals("OK") && tries < 1000; tries++) {
            Thread.sleep(1);
            word = word(call);
        }
        isOver.set(true);
        thread.join();
        return word;
    }

    /** Of the file of one cluster, which is a set of one stream. */
    private static void merged() throws InterruptedException {
        answer("merged-start", () -> MergedSubscriber.connect("here").close());
        answer("merged-negative-connect", () -> MergedSubscriber.connect(null, "live", NEGATIVE).close());
        MergedSubscriber merged = MergedSubscriber.connect("beginning");
        answer("merged-negative-wait", () -> merged.await(-1));
        answer("merged-negative-limit", () -> merged.pollBatch(-1));
        answer("merged-two-threads", beside(() -> merged.await(200 * MILLISECOND), merged::nextNumber));
        String[] nested = new String[1];
        while (nested[0] == null) {
            merged.await(MILLISECOND);
            merged.poll(1, event -> nested[0] = word(() -> merged.poll(inner -> { })));
        }
        answer("merged-poll-in-callback", nested[0]);
        boolean[] isClosed = new boolean[1];
        answer("merged-close-in-callback", () -> {
            while (!isClosed[0]) {
                merged.await(MILLISECOND);
                merged.poll(1, event -> {
                    merged.close();
                    isClosed[0] = true;
                });
            }
        });
        answer("merged-closed", merged::pollBatch);
        answer("merged-close-twice", merged::close);
    }

    private void arguments() {
        answer("unknown-id", () -> participant.publish(12345, bytes("x")));
        byte[] tooLong = new byte[participant.messageLenMax() + 1];
        answer("too-long", () -> participant.publish(id, tooLong));
        answer("ahead", () -> participant.publishAt(id, 1000, new byte[0]));
        answer("empty-name", () -> participant.open("", TIMEOUT, event -> { }));
        answer("long-name", () -> participant.open("x".repeat(65), TIMEOUT, event -> { }));
        answer("zero-in-name", () -> participant.open("a\0b", TIMEOUT, event -> { }));
        answer("start-zero", () -> Subscriber.connect(endpoint, Start.from(0)).close());
        answer("start-negative", () -> Subscriber.connect(endpoint, Start.from(-1)).close());
        answer("start-text", () -> Cursor.parse("here"));
        answer("negative-wait", () -> participant.await(-1));
        answer("negative-open", () -> participant.open("another", NEGATIVE, event -> { }));
        answer("negative-limit", () -> participant.poll(-1, event -> { }));
    }

    private Object request(Participant asking, int publisher, Duration timeout) {
        return asking.request(publisher, bytes("ask"), timeout, (event, number) -> null);
    }

    private Participant live() {
        return Participant.connect(endpoint);
    }

    private void requests() {
        String[] nested = new String[1];
        participant.request(id, bytes("ask"), TIMEOUT, (event, number) -> {
            nested[0] = word(() -> participant.publish(id, bytes("nested")));
            return isMessage(event, number) ? Boolean.TRUE : null;
        });
        answer("call-in-request", nested[0]);
        answer("request-late", () -> request(participant, id, Duration.ofMillis(1)));
        answer("request-negative", () -> request(participant, id, NEGATIVE));
        Participant closing = live();
        int closed = closing.open("closing");
        answer("close-in-request", () -> closing.request(closed, bytes("ask"), (event, number) -> {
            closing.close();
            boolean isOwn = event.kind() == Kind.MESSAGE && event.publisher() == closed && event.publisherSeq() == number;
            return isOwn ? Boolean.TRUE : null;
        }));
        if (!word(closing::flush).equals("CLOSED_HANDLE")) {
            throw new AssertionError("the handle is open behind the request");
        }
        try (Participant first = live(); Participant second = live()) {
            int fenced = first.open("fenced", TIMEOUT, event -> { });
            second.open("fenced", TIMEOUT, event -> { });
            answer("request-fenced", () -> request(first, fenced, TIMEOUT));
        }
        Start other = Start.at(new Cursor(1, 1, 1));
        try (Participant elsewhere = Participant.connect(endpoint, other)) {
            while (!elsewhere.isEnded()) {
                elsewhere.await(MILLISECOND);
                elsewhere.poll(64, event -> { });
            }
            answer("request-ended", () -> request(elsewhere, id, TIMEOUT));
        }
    }

    private static void cursorFiles() throws IOException {
        Path folder = Files.createTempDirectory("lockstep-misuses-");
        String path = folder.resolve("cursor").toString();
        Path damaged = Files.writeString(folder.resolve("damaged"), "here");
        CursorFile file = CursorFile.open(path);
        answer("file-in-use", () -> CursorFile.open(path).close());
        answer("file-damaged", () -> CursorFile.open(damaged.toString()).close());
        answer("file-nowhere", () -> file.save(new Cursor(1, 0, 0)));
        file.close();
        answer("file-closed", () -> file.save(new Cursor(1, 1, 0)));
        for (String name : new String[] {"cursor.lock", "damaged", "damaged.lock"}) {
            Files.delete(folder.resolve(name));
        }
        Files.delete(folder);
    }

    private void run() throws InterruptedException, IOException {
        inHandlers();
        answer("two-threads", beside(() -> participant.await(200 * MILLISECOND), participant::isDrained));
        merged();
        arguments();
        cursorFiles();
        long[] number = new long[1];
        String claimed = word(() -> number[0] = participant.claim(id, 8));
        answer("unwritten-claim", claimed.equals("OK") ? once(number[0], new byte[8]) : claimed);
        requests();
        answer("close-in-callback", () -> asked(participant::close));
        answer("use-after-close", () -> participant.publish(id, bytes("x")));
        answer("close-twice", participant::close);
        endpoint.close();
        answer("closed-endpoint", () -> Publisher.connect(endpoint).close());
    }

    public static void main(String[] arguments) throws InterruptedException, IOException {
        new Misuses().run();
    }
}
