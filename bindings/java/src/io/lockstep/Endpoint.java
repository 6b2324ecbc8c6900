package io.lockstep;

/**
 * Which cluster, and how it is reached. Handles are connected with it, and do not need it afterwards. It may be used by
 * any number of threads at once.
 */
public final class Endpoint implements AutoCloseable {
    private long endpoint;

    private Endpoint(long endpoint) {
        if (endpoint < 0) {
            throw LockstepException.last(endpoint);
        }
        this.endpoint = endpoint;
    }

    /**
     * The endpoint of the file that {@code LOCKSTEP_CONFIG} names, or of {@code /etc/lockstep/lockstep.toml}. Variables
     * {@code LOCKSTEP_…} replace single keys, as for every command of lockstep.
     *
     * @return the endpoint
     * @throws LockstepException with {@link Status#CONFIG} if the configuration is wrong or cannot be read
     */
    public static Endpoint fromEnv() {
        return new Endpoint(Native.endpointFromEnv());
    }

    /**
     * The endpoint of the cluster's file.
     *
     * @param path the file
     * @return the endpoint
     * @throws LockstepException with {@link Status#CONFIG} if the configuration is wrong or cannot be read
     */
    public static Endpoint fromFile(String path) {
        return new Endpoint(Native.endpointFromFile(Handle.text("path", path)));
    }

    /**
     * The cluster's number.
     *
     * @return the number
     * @throws LockstepException with {@link Status#CLOSED_HANDLE} after {@link #close}
     */
    public synchronized long cluster() {
        return Native.endpointCluster(opened());
    }

    /** Frees the endpoint. Handles that were connected with it go on. A second call does nothing. */
    @Override
    public synchronized void close() {
        if (endpoint != 0) {
            Native.endpointClose(endpoint);
            endpoint = 0;
        }
    }

    /** A handle of the kind; the sockets are opened, and the groups joined. */
    synchronized long connect(int kind, Start start, Delivery delivery) {
        Cursor cursor = start.cursor;
        long handle = Native.connect(kind, opened(), delivery.number(), start.kind, start.seq, cursor.history(),
                cursor.seq(), cursor.chain());
        if (handle < 0) {
            throw LockstepException.last(handle);
        }
        return handle;
    }

    /** A replica with these settings. */
    synchronized long open(AppSettings settings, Machines machines) {
        byte[] serve = settings.serve == null ? null : Handle.text("serve", settings.serve);
        long app = Native.appOpen(opened(), machines, machines.version, Handle.text("name", settings.name),
                Handle.text("folder", settings.folder), serve, Handle.text("hosts", String.join(",", settings.hosts)),
                Handle.text("peers", String.join(",", settings.peers)), settings.numbers());
        if (app < 0) {
            throw machines.failure(app);
        }
        return app;
    }

    /** A debugger of a machine of this name. */
    synchronized void debug(AppSettings settings, Machines machines) {
        long done = Native.debug(opened(), machines, machines.version, Handle.text("name", settings.name),
                Handle.text("folder", settings.folder));
        if (done < 0) {
            throw machines.failure(done);
        }
    }

    private long opened() {
        if (endpoint == 0) {
            throw new LockstepException(Status.CLOSED_HANDLE, "the endpoint is closed");
        }
        return endpoint;
    }
}
