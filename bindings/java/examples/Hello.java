import io.lockstep.Cursor;
import io.lockstep.CursorFile;
import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.EventHandler;
import io.lockstep.LockstepException;
import io.lockstep.Participant;
import io.lockstep.Start;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * Publishes a message, reads the stream until it is delivered, and saves the cursor with which another run goes on, in
 * the file PATH or hello.cursor:
 *
 * <pre>LOCKSTEP_CONFIG=FILE java -cp lockstep.jar Hello.java [PATH]</pre>
 */
final class Hello implements EventHandler {
    private int publisher;
    private long number;
    private boolean isDelivered;

    @Override
    public void onEvent(Event event) {
        switch (event.kind()) {
            case OUTCOME_COMMITTED -> System.out.println("committed at seq " + event.seq());
            case MESSAGE -> {
                System.out.println(event.seq() + ": " + event.payloadText());
                isDelivered |= event.publisher() == publisher && event.publisherSeq() == number;
            }
            default -> { }
        }
    }

    private void run(String path) {
        try (CursorFile file = CursorFile.open(path);
                Endpoint endpoint = Endpoint.fromEnv();
                Participant participant = Participant.connect(endpoint, file.startOr(Start.from(1)))) {
            publisher = participant.open("orders", Duration.ofSeconds(5), this);
            number = participant.publish(publisher, "buy 100 at 42".getBytes(StandardCharsets.UTF_8));
            while (!isDelivered) {
                if (participant.poll(64, this) == 0) {
                    participant.await(10_000_000);
                }
            }
            Cursor cursor = participant.cursor().orElseThrow();
            file.save(cursor);
            System.out.println("resume with " + cursor);
        }
    }

    public static void main(String[] arguments) {
        try {
            new Hello().run(arguments.length > 0 ? arguments[0] : "hello.cursor");
        } catch (LockstepException error) {
            System.err.println(error.status() + ": " + error.getMessage());
            System.exit(1);
        }
    }
}
