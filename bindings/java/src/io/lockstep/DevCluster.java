package io.lockstep;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A cluster for tests of programs: three replicas on this host, of which one leads, until it is closed. It is the program
 * {@code lockstep dev}, as a process. What the replicas log goes to stderr. It needs no framework of tests; a test of any
 * of them has it in a {@code try}, or starts and closes it where the framework says.
 */
public final class DevCluster implements AutoCloseable {
    private static final String PROGRAM = "lockstep";
    private static final String FILE = "export LOCKSTEP_CONFIG=";
    /** How long a start may take, by default. {@code lockstep dev} itself waits for a leader half as long. */
    private static final Duration START_TIMEOUT = Duration.ofMinutes(2);
    /** Seconds that a cluster which is late has to end by itself. */
    private static final long END_TIMEOUT_S = 5;
    /** Seconds that one has which is closed. */
    private static final long CLOSE_TIMEOUT_S = 20;

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
     * Starts a cluster with a stream that begins, and waits until a replica leads, for two minutes.
     *
     * @param flags those of {@code lockstep dev}, e.g. {@code "--set", "stream.message_len_max=1024"}
     * @return the cluster
     * @throws NoSuchFileException if the program {@code lockstep} is not in the {@code PATH}
     * @throws IOException if no replica leads in that time, or none runs here; stderr says why
     */
    public static DevCluster start(String... flags) throws IOException {
        return start(START_TIMEOUT, flags);
    }

    /**
     * The same with another time.
     *
     * @param timeout how long the start may take
     * @param flags those of {@code lockstep dev}
     * @return the cluster
     * @throws IOException as above
     */
    public static DevCluster start(Duration timeout, String... flags) throws IOException {
        if (!isHere()) {
            throw new NoSuchFileException(PROGRAM, null, "the program `lockstep` is not in the PATH");
        }
        List<String> command = new ArrayList<>(List.of(PROGRAM, "dev", "--until-stdin-ends"));
        command.addAll(List.of(flags));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        AtomicBoolean isLate = new AtomicBoolean();
        Thread timer = new Thread(() -> {
            try {
                TimeUnit.NANOSECONDS.sleep(timeout.toNanos());
            } catch (InterruptedException isInTime) {
                return;
            }
            isLate.set(true);
            end(process, END_TIMEOUT_S);
        });
        timer.setDaemon(true);
        timer.start();
        Path config = config(process);
        timer.interrupt();
        joined(timer);
        if (isLate.get()) {
            throw new IOException("`lockstep dev` has no leader after " + timeout.toMillis()
                    + " ms, and was ended; stderr says why");
        }
        if (config == null) {
            end(process, END_TIMEOUT_S);
            int code = process.onExit().join().exitValue();
            throw new IOException("`lockstep dev` ended with code " + code + " before a replica led; stderr says why");
        }
        return new DevCluster(process, config);
    }

    /** The path of the cluster's file; null if the lines of the process end before. */
    private static Path config(Process process) throws IOException {
        // Open as long as the cluster runs: it could print no more otherwise.
        BufferedReader lines = process.inputReader(StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String text = line.strip();
            if (text.startsWith(FILE)) {
                return Path.of(text.substring(FILE.length()));
            }
        }
        return null;
    }

    /** Ends a cluster: it removes its folder, if it ends by itself in so many seconds. */
    private static void end(Process process, long seconds) {
        try {
            process.getOutputStream().close(); // the cluster ends with it
        } catch (IOException isGone) {
            // One that was killed has closed it.
        }
        process.onExit().completeOnTimeout(null, seconds, TimeUnit.SECONDS).join();
        process.destroyForcibly();
    }

    private static void joined(Thread thread) {
        boolean wasInterrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException again) {
                wasInterrupted = true;
            }
        }
        if (wasInterrupted) {
            Thread.currentThread().interrupt();
        }
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

    /** Ends the cluster, and waits for its end; one that ignores it is killed. A second call does nothing. */
    @Override
    public void close() {
        end(process, CLOSE_TIMEOUT_S);
        process.onExit().join();
    }
}
