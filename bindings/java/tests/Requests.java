import io.lockstep.Endpoint;
import io.lockstep.Event;
import io.lockstep.Kind;
import io.lockstep.LockstepException;
import io.lockstep.Participant;
import io.lockstep.Status;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * Makes requests beside an application that answers each to its publisher, {@code answer to NUMBER}, and then
 * {@code more}; it answers {@code later} when the next request comes. tests/foreign/bindings/java.rs runs it.
 *
 * <pre>
 *     Requests load NAME TAKEOVERS   until so many were seen: each request has its answer, and each event comes once
 *     Requests late NAME             one request is not answered in its time; an exception passes through another
 * </pre>
 */
final class Requests {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    /** Messages of one request: it, its answer, and one more. */
    private static final int MESSAGES = 3;

    private final Participant participant = Participant.connect(Endpoint.fromEnv());
    private final int id;
    private long messages;
    private long committed;
    private long epochs;
    private long lastSeq;

    private Requests(String name) {
        participant.begin(PATIENCE, this::onEvent);
        id = participant.open(name, PATIENCE, this::onEvent);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private void onEvent(Event event) {
        if (event.kind() == Kind.EPOCH) {
            epochs++;
        } else if (event.kind() == Kind.OUTCOME_COMMITTED) {
            committed++;
        } else if (event.kind() == Kind.MESSAGE) {
            check(event.seq() > lastSeq, "the order of the stream: " + event);
            lastSeq = event.seq();
            messages++;
        }
    }

    private long request(String text, Duration timeout) {
        byte[] payload = text.getBytes(StandardCharsets.UTF_8);
        return participant.request(id, payload, Participant.EVERYBODY, timeout, (event, number) -> {
            onEvent(event);
            boolean isAnswer = event.kind() == Kind.MESSAGE && event.destination() == id
                    && event.payloadText().equals("answer to " + number);
            return isAnswer ? (Long) event.seq() : null;
        });
    }

    private void answered() {
        check(request("ask", PATIENCE) == lastSeq, "what is behind the answer is left for the next poll");
    }

    private void load(long takeovers) {
        long requests = 0;
        for (; epochs < takeovers || requests < 20; requests++) {
            answered();
        }
        while (!participant.isDrained() || messages < MESSAGES * requests) {
            participant.await(1_000_000);
            participant.poll(64, this::onEvent);
        }
        check(messages == MESSAGES * requests && committed == requests, "each once: " + messages + ", " + committed);
        System.out.println(requests + " requests, each with its answer, " + epochs + " takeovers");
    }

    private void late() {
        try {
            request("later", Duration.ofMillis(200));
            throw new AssertionError("nobody has answered");
        } catch (LockstepException error) {
            check(error.status() == Status.TIMED_OUT, error.toString());
            check(error.getMessage().contains("request 1 has no answer within 200ms"), error.toString());
            check(error.getMessage().contains("may be answered later"), error.toString());
        }
        check(messages == 1 && committed == 1, "the request: " + messages + ", " + committed);
        answered();
        check(messages == 5, "both requests, the late answer with its companion, and the answer: " + messages);
        try {
            participant.request(id, new byte[0], PATIENCE, (event, number) -> {
                throw new IllegalStateException("seven");
            });
            throw new AssertionError("the handler has thrown");
        } catch (IllegalStateException error) {
            check(error.getMessage().equals("seven"), error.toString());
        }
        check(request("ask", PATIENCE) > 0, "the handle goes on");
        long committed = participant.request(id, new byte[0], (event, number) ->
                event.kind() == Kind.OUTCOME_COMMITTED && event.publisherSeq() == number ? number : null);
        check(committed > 0, "a request to everybody, for ten seconds");
        System.out.println("answered later");
    }

    public static void main(String[] arguments) {
        Requests requests = new Requests(arguments[1]);
        if (arguments[0].equals("load")) {
            requests.load(Long.parseLong(arguments[2]));
        } else {
            requests.late();
        }
        requests.participant.close();
    }
}
