package io.lockstep;

import java.io.File;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * A cluster for tests of programs: three replicas on this host, of which one leads, until it is closed. It is the program
 * {@code lockstep dev}, as a process. What the replicas log goes to stderr. It needs no framework of tests; a test of any
 * of them has it in a {@code try}, or starts and closes it where the framework says.
 */
public final class DevCluster implements AutoCloseable {
    private static final String PROGRAM = "lockstep";
    private static final String FILE = "export LOCKSTEP_CONFIG=";
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    /** For its end, once it is asked to end. */
    private static final long END_SECONDS = 20;

    private final Process process;
    private final Path config;

    private DevCluster(Process process, Path config) {
        this.process = process;
        this.config = config;
    }

    /**
     * Whether the program {@code lockstep} is in the {@code PATH}: without it a test is skipped.
     *
     * @return whether it is there
     */
    public static boolean isHere() {
        String path = System.getenv("PATH");
        for (String folder : (path == null ? "" : path).split(File.pathSeparator)) {
            if (Files.isExecutable(Path.of(folder, PROGRAM))) {
                return true;
            }
        }
        return false;
    }

    /**
     * Starts a cluster with a stream that begins, and waits until a replica leads, for a minute at most.
     *
     * @param flags those of {@code lockstep dev}, e.g. {@code "--set", "stream.message_len_max=1024"}
     * @return the cluster
     * @throws NoSuchFileException if the program {@code lockstep} is not in the {@code PATH}
     * @throws IOException if it runs no cluster here; stderr says why
     */
    public static DevCluster start(String... flags) throws IOException {
        return start(PATIENCE, flags);
    }

    /**
     * Starts a cluster with a stream that begins, and waits until a replica leads.
     *
     * @param timeout how long at most: then the cluster is ended
     * @param flags those of {@code lockstep dev}, e.g. {@code "--set", "stream.message_len_max=1024"}
     * @return the cluster
     * @throws NoSuchFileException if the program {@code lockstep} is not in the {@code PATH}
     * @throws IOException if it runs no cluster here; stderr says why
     */
    public static DevCluster start(Duration timeout, String... flags) throws IOException {
        if (!isHere()) {
            throw new NoSuchFileException(PROGRAM, null, "the program `lockstep` is not in the PATH");
        }
        List<String> command = new ArrayList<>(List.of(PROGRAM, "dev", "--until-stdin-ends"));
        command.addAll(List.of(flags));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        CompletableFuture<Optional<Path>> read = CompletableFuture.supplyAsync(() -> file(process));
        try {
            Optional<Path> file = read.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
            if (file.isPresent()) {
                return new DevCluster(process, file.get());
            }
            int code = process.onExit().join().exitValue();
            throw new IOException("`lockstep dev` ended with code " + code + " before a replica led; stderr says why");
        } catch (TimeoutException isOver) {
            kill(process);
            throw new IOException("no replica leads within " + timeout.toMillis() + " ms; stderr says why", isOver);
        } catch (InterruptedException wanted) {
            kill(process);
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("the start of a cluster was interrupted");
        } catch (ExecutionException failed) {
            kill(process);
            throw new IOException(failed.getCause());
        }
    }

    /** The cluster's file, once a replica leads; none if it has ended. */
    private static Optional<Path> file(Process process) {
        // Open as long as the cluster runs: it could print no more otherwise.
        Stream<String> lines = process.inputReader(StandardCharsets.UTF_8).lines();
        return lines.map(String::strip).filter(line -> line.startsWith(FILE)).findFirst()
                .map(line -> Path.of(line.substring(FILE.length())));
    }

    /** Kills it, and waits for its end; its replicas end with their stdin. */
    private static void kill(Process process) {
        process.destroyForcibly().onExit().join();
    }

    /**
     * The cluster's file, for {@code LOCKSTEP_CONFIG} of a program that is tested.
     *
     * @return its path
     */
    public Path config() {
        return config;
    }

    /**
     * The endpoint of that file.
     *
     * @return a new one, to be closed by the caller
     */
    public Endpoint endpoint() {
        return Endpoint.fromFile(config.toString());
    }

    /** Ends the cluster, and waits for its end. A second call does nothing. */
    @Override
    public void close() {
        try {
            process.getOutputStream().close(); // the cluster ends with it
        } catch (IOException isGone) {
            // One that was killed has closed it.
        }
        process.onExit().orTimeout(END_SECONDS, TimeUnit.SECONDS).exceptionally(isDeaf -> process.destroyForcibly()).join();
        process.onExit().join();
    }
}
