// `ClusterCheck TIMEOUT_MS` starts a DevCluster and prints why there is none; tests/foreign/bindings.rs runs it with another
// program in the place of `lockstep`.

import io.lockstep.DevCluster;
import java.io.IOException;
import java.time.Duration;

final class ClusterCheck {
    private ClusterCheck() {}

    public static void main(String[] args) {
        try (DevCluster cluster = DevCluster.start(Duration.ofMillis(Long.parseLong(args[0])))) {
            throw new AssertionError("there is a cluster: " + cluster.config());
        } catch (IOException error) {
            System.out.println(error.getMessage());
        }
    }
}
