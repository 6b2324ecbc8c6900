import io.lockstep.DevCluster;
import io.lockstep.Endpoint;
import io.lockstep.Kind;
import io.lockstep.Lockstep;
import io.lockstep.Participant;
import io.lockstep.Start;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** The program beside a cluster, where {@code lockstep} is in the PATH. */
final class ClusterTest {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final int TOTALS = Lockstep.CHANNELS + 1;

    private ClusterTest() {}

    /** A copy of the machine, in a folder of its own. */
    private static Process copy(DevCluster cluster) throws IOException {
        Path folder = Files.createTempDirectory("cluster-test-");
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        List<String> classes = new ArrayList<>();
        for (String path : System.getProperty("java.class.path").split(":")) {
            classes.add(Path.of(path).toAbsolutePath().toString());
        }
        ProcessBuilder builder = new ProcessBuilder(java, "-cp", String.join(":", classes), "Counter", "1");
        builder.environment().put("LOCKSTEP_CONFIG", cluster.config().toString());
        return builder.directory(folder.toFile()).inheritIO().start();
    }

    private static void aCopyOfTheMachineCountsWhatIsPublished() throws IOException {
        try (DevCluster cluster = DevCluster.start(); Endpoint endpoint = cluster.endpoint();
                Participant participant = Participant.connect(endpoint, Start.from(1))) {
            Process copy = copy(cluster);
            try {
                int me = participant.open("me", PATIENCE, event -> { });
                for (int count = 0; count < 3; count++) {
                    participant.publish(me, "a message".getBytes());
                }
                List<String> totals = new ArrayList<>();
                long end = System.nanoTime() + PATIENCE.toNanos();
                while (totals.size() < 3 && System.nanoTime() < end && copy.isAlive()) {
                    participant.poll(64, event -> {
                        if (event.kind() == Kind.MESSAGE && event.destination() == TOTALS) {
                            totals.add(event.payloadText());
                        }
                    });
                    participant.await(10_000_000);
                }
                if (!totals.equals(List.of("total 1", "total 2", "total 3"))) {
                    throw new AssertionError("the totals are " + totals);
                }
            } finally {
                copy.destroyForcibly().onExit().join();
            }
        }
    }

    public static void main(String[] args) throws IOException {
        if (!DevCluster.isHere()) {
            System.out.println("SKIPPED: the program `lockstep` is not in the PATH");
            return;
        }
        aCopyOfTheMachineCountsWhatIsPublished();
        System.out.println("the test beside a cluster passed");
    }
}
