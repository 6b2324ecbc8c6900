import io.lockstep.Batch;
import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.EventHandler;
import io.lockstep.Kind;
import io.lockstep.LockstepException;
import io.lockstep.Participant;
import io.lockstep.Subscriber;
import io.lockstep.Trial;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;

/**
 * The loop of {@code lockstep-bench languages} in Java:
 *
 * <pre>
 *   Loop closed WARM_UP_MS MS               prints the nanoseconds of each message, a line each
 *   Loop apply WARM_UP_MS MS                prints those of an input in the counter of docs/APPLY.md, likewise
 *   Loop read single|batch WARM_UP_MS MS    prints MESSAGES BYTES NANOSECONDS
 * </pre>
 */
final class Loop {
    private static final int MESSAGE_LENGTH = 64;
    private static final int LIMIT = 256;
    private static final int BATCH_LIMIT = 4096;
    private static final long APPLY_MESSAGES = 2_000;
    private static final long WAIT_NANOS = 1_000_000;
    private static final Duration PATIENCE = Duration.ofSeconds(10);

    /** Awaits the delivery of one message. */
    private static final class Wanted implements EventHandler {
        private int publisher;
        private long number;
        private boolean isDelivered;

        @Override
        public void onEvent(Event event) {
            if (event.kind() == Kind.MESSAGE) {
                isDelivered |= event.publisher() == publisher && event.publisherSeq() == number;
            }
        }
    }

    private static void runClosed(Endpoint endpoint, long warmUp, long time) throws IOException {
        long[] samples = new long[1 << 20];
        int count = 0;
        try (Participant participant = Participant.connect(endpoint)) {
            Wanted wanted = new Wanted();
            participant.begin(PATIENCE, event -> { });
            wanted.publisher = participant.open("loop", PATIENCE, event -> { });
            byte[] message = new byte[MESSAGE_LENGTH];
            Arrays.fill(message, (byte) 0x5a);
            long began = System.nanoTime();
            while (true) {
                long sent = System.nanoTime();
                wanted.isDelivered = false;
                wanted.number = participant.publish(wanted.publisher, message);
                while (!wanted.isDelivered) {
                    if (participant.poll(LIMIT, wanted) == 0) {
                        participant.await(WAIT_NANOS);
                    }
                }
                long came = System.nanoTime();
                if (came - began >= warmUp + time || count == samples.length) {
                    break;
                }
                if (came - began >= warmUp) {
                    samples[count++] = came - sent;
                }
            }
        }
        try (BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.US_ASCII))) {
            for (int at = 0; at < count; at++) {
                out.write(Long.toString(samples[at]));
                out.newLine();
            }
        }
    }

    /** Counts messages and their bytes. */
    private static final class Received implements EventHandler {
        private long messages;
        private long bytes;

        @Override
        public void onEvent(Event event) {
            if (event.kind() == Kind.MESSAGE) {
                messages++;
                bytes += event.payloadLength();
            }
        }
    }

    private static void runRead(Endpoint endpoint, boolean isBatch, long warmUp, long time) {
        try (Subscriber subscriber = Subscriber.connect(endpoint)) {
            subscriber.begin(PATIENCE, event -> { });
            Received received = new Received();
            long began = System.nanoTime();
            long at = began;
            long from = 0;
            long messagesBefore = 0;
            long bytesBefore = 0;
            boolean isCounting = false;
            while (at - began < warmUp + time) {
                long work;
                if (isBatch) {
                    Batch batch = subscriber.pollBatch(BATCH_LIMIT);
                    for (int index = 0; index < batch.size(); index++) {
                        received.onEvent(batch.event(index));
                    }
                    work = batch.work();
                } else {
                    work = subscriber.poll(LIMIT, received);
                }
                at = System.nanoTime();
                if (!isCounting && at - began >= warmUp) {
                    isCounting = true;
                    from = at;
                    messagesBefore = received.messages;
                    bytesBefore = received.bytes;
                }
                if (work == 0) {
                    subscriber.await(WAIT_NANOS);
                }
            }
            System.out.println((received.messages - messagesBefore) + " " + (received.bytes - bytesBefore) + " "
                    + (at - from));
        }
    }

    /** What an input costs in the counter of docs/APPLY.md, without a cluster. */
    private static void runApply(long warmUp, long time) {
        long began = System.nanoTime();
        for (long at = began; at - began < warmUp + time; at = System.nanoTime()) {
            double cost = Trial.applyCost(Counter::new, APPLY_MESSAGES);
            if (at - began >= warmUp) {
                System.out.println(Math.round(cost));
            }
        }
    }

    public static void main(String[] words) throws IOException {
        boolean isClosed = words.length == 3 && words[0].equals("closed");
        boolean isApply = words.length == 3 && words[0].equals("apply");
        boolean isRead = words.length == 4 && words[0].equals("read");
        if (!isClosed && !isRead && !isApply) {
            System.err.println("Loop: Loop closed|apply WARM_UP_MS MS, or Loop read single|batch WARM_UP_MS MS");
            System.exit(2);
        }
        long warmUp = Long.parseLong(words[words.length - 2]) * 1_000_000;
        long time = Long.parseLong(words[words.length - 1]) * 1_000_000;
        if (isApply) {
            runApply(warmUp, time);
            return;
        }
        try (Endpoint endpoint = Endpoint.fromEnv()) {
            if (isClosed) {
                runClosed(endpoint, warmUp, time);
            } else {
                runRead(endpoint, words[1].equals("batch"), warmUp, time);
            }
        } catch (LockstepException error) {
            System.err.println("Loop: " + error.status() + ": " + error.getMessage());
            System.exit(1);
        }
    }

    private Loop() { }
}
