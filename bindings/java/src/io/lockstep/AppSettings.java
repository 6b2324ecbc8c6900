package io.lockstep;

import java.time.Duration;
import java.util.List;
import java.util.Objects;

/** The settings of a replica of a {@link Machine}. Each method changes one, and returns this object. */
public final class AppSettings {
    final String name;
    final int number;
    final String folder;
    String serve;
    List<String> hosts = List.of();
    List<String> peers = List.of();
    private long digestEvery = 1_000;
    private long snapshotEvery = 100_000;
    private int snapshots = 3;
    private Duration snapshotAge = Duration.ZERO;
    private Duration proofWait = Duration.ofSeconds(30);
    private Delivery delivery = Delivery.COMMITTED;
    private boolean writesSnapshots = true;
    private boolean stopsOnDivergence = true;
    private boolean isShadow;

    /**
     * Those of a replica, with the defaults.
     *
     * @param name the name under which all replicas publish
     * @param number the number of this replica, from 1 to 255: each has one of its own
     * @param folder the folder of its snapshots, for this replica alone
     */
    public AppSettings(String name, int number, String folder) {
        this.name = Objects.requireNonNull(name, "name");
        this.number = number;
        this.folder = Objects.requireNonNull(folder, "folder");
    }

    /**
     * Where metrics, snapshots and queries are served over HTTP. Default: nowhere.
     *
     * @param address like {@code 127.0.0.1:9701}
     * @return this
     */
    public AppSettings serve(String address) {
        serve = address;
        return this;
    }

    /**
     * Names by which that page may be asked for.
     *
     * @param names the names
     * @return this
     */
    public AppSettings hosts(List<String> names) {
        hosts = List.copyOf(names);
        return this;
    }

    /**
     * Where other replicas serve theirs: a replica without a snapshot fetches the newest one.
     *
     * @param addresses the addresses
     * @return this
     */
    public AppSettings peers(List<String> addresses) {
        peers = List.copyOf(addresses);
        return this;
    }

    /**
     * Entries from one digest of the state to the next, which all replicas have alike. Default 1,000. The digest is that
     * of the snapshot: a large state has a larger number.
     *
     * @param entries how many
     * @return this
     */
    public AppSettings digestEvery(long entries) {
        digestEvery = entries;
        return this;
    }

    /**
     * Entries from one snapshot to the next. Default 100,000. Inputs wait until it is written.
     *
     * @param entries how many
     * @return this
     */
    public AppSettings snapshotEvery(long entries) {
        snapshotEvery = entries;
        return this;
    }

    /**
     * Snapshots that stay. Default 3, and none by their age.
     *
     * @param count how many
     * @param age those that are younger stay as well
     * @return this
     */
    public AppSettings snapshots(int count, Duration age) {
        snapshots = count;
        snapshotAge = age;
        return this;
    }

    /**
     * Whether this replica writes snapshots. Default: it does.
     *
     * @param writes whether it does
     * @return this
     */
    public AppSettings writesSnapshots(boolean writes) {
        writesSnapshots = writes;
        return this;
    }

    /**
     * How long the stream's announcement of a peer's snapshot may be missing. Default 30 seconds.
     *
     * @param time how long
     * @return this
     */
    public AppSettings proofWait(Duration time) {
        proofWait = time;
        return this;
    }

    /**
     * When an entry is applied. Default: when it is committed.
     *
     * @param when when
     * @return this
     */
    public AppSettings delivery(Delivery when) {
        delivery = when;
        return this;
    }

    /**
     * Whether a replica ends whose state is not that of most, or goes on and says so. Default: it ends.
     *
     * @param stops whether it ends
     * @return this
     */
    public AppSettings stopsOnDivergence(boolean stops) {
        stopsOnDivergence = stops;
        return this;
    }

    /**
     * It applies and compares, and publishes nothing, until it takes over. Default: it publishes.
     *
     * @param shadow whether it does
     * @return this
     */
    public AppSettings shadow(boolean shadow) {
        isShadow = shadow;
        return this;
    }

    /** The numbers, in the order in which lockstep_machine_jni.c reads them. */
    long[] numbers() {
        return new long[] {number, digestEvery, snapshotEvery, snapshots, snapshotAge.toNanos(), proofWait.toNanos(),
            delivery.number(), writesSnapshots ? 1 : 0, stopsOnDivergence ? 1 : 0, isShadow ? 1 : 0};
    }
}
