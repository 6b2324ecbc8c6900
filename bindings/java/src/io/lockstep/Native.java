package io.lockstep;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/**
 * The functions of {@code liblockstep_jni}. A result below 0 is a negative {@link Status}. Texts are UTF-8 and end with
 * 0 on their way in. A handle is the address of its memory.
 */
final class Native {
    /** Rises with each change of these functions, here and in lockstep_jni.c. */
    static final int VERSION = 4;

    static final int PUBLISHER = 0;
    static final int SUBSCRIBER = 1;
    static final int PARTICIPANT = 2;

    private static final String LIBRARY = "lockstep_jni";

    static {
        try {
            load();
        } catch (UnsatisfiedLinkError error) {
            UnsatisfiedLinkError why = new UnsatisfiedLinkError(error.getMessage() + ": " + remedy(error));
            why.initCause(error);
            throw why;
        }
        int version = version();
        if (version != VERSION) {
            throw new UnsatisfiedLinkError("the native library has the interface " + version + " and lockstep.jar "
                    + VERSION + ": take both from one run of bindings/java/build.sh");
        }
    }

    private Native() {}

    /** Loads what a property names, or else what the jar has inside. */
    private static void load() {
        String path = System.getProperty("lockstep.native");
        if (path != null) {
            Path file = Path.of(path).toAbsolutePath();
            file = Files.isDirectory(file) ? file.resolve(System.mapLibraryName(LIBRARY)) : file;
            System.load(file.toString());
            return;
        }
        try (InputStream inside = isInLibraryPath() ? null : Native.class.getResourceAsStream(inside())) {
            if (inside == null) {
                System.loadLibrary(LIBRARY);
            } else {
                loadCopy(inside);
            }
        } catch (IOException error) {
            var why = new UnsatisfiedLinkError("the library inside lockstep.jar cannot be copied: " + error);
            why.initCause(error);
            throw why;
        }
    }

    private static boolean isInLibraryPath() {
        String name = System.mapLibraryName(LIBRARY);
        for (String folder : System.getProperty("java.library.path", "").split(File.pathSeparator)) {
            if (Files.exists(Path.of(folder, name))) {
                return true;
            }
        }
        return false;
    }

    /** Where bindings/java/build.sh puts the library, by the compiler's name of the architecture. */
    private static String inside() {
        String architecture = System.getProperty("os.arch");
        return "/META-INF/native/linux-" + (architecture.equals("amd64") ? "x86_64" : architecture) + "/"
                + System.mapLibraryName(LIBRARY);
    }

    /** The loader takes files alone: one in a folder of this user, which is gone as soon as the library is mapped. */
    private static void loadCopy(InputStream library) throws IOException {
        Path folder = Files.createTempDirectory("lockstep-",
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Path file = folder.resolve(System.mapLibraryName(LIBRARY)).toAbsolutePath();
        try {
            Files.copy(library, file);
            System.load(file.toString());
        } finally {
            Files.deleteIfExists(file);
            Files.delete(folder);
        }
    }

    /** What helps. A library belongs to one class loader at a time: to another one it says so in these words. */
    private static String remedy(UnsatisfiedLinkError error) {
        String message = String.valueOf(error.getMessage());
        if (message.contains("already loaded in another")) {
            return "one class loader of a JVM may have it. Put lockstep.jar where all applications of this JVM share one"
                    + " loader (a servlet container's lib folder, or the class path), and not into each application; at a"
                    + " redeployment the former loader has it until it is collected. Without a property that names it each"
                    + " loader has a copy of its own, from inside lockstep.jar";
        }
        return "build it by bindings/java/build.sh, and name it by -Dlockstep.native=PATH or its folder by"
                + " -Djava.library.path=FOLDER. Without these the one inside lockstep.jar is copied to a folder from which"
                + " libraries may be loaded, which -Djava.io.tmpdir=FOLDER names";
    }

    static native int version();

    static native int abiVersion();

    static native byte[] libraryVersion();

    static native byte[] error();

    static native byte[] cursorPrint(long history, long seq, long chain);

    static native long cursorParse(byte[] text, long[] cursor);

    /** The cursor file, as an address. */
    static native long cursorFileOpen(byte[] path);

    /** Stores the cursor; 0: there is none. */
    static native long cursorFileCursor(long file, long[] cursor);

    static native long cursorFileSave(long file, long history, long seq, long chain);

    static native void cursorFileClose(long file);

    static native long endpointFromEnv();

    static native long endpointFromFile(byte[] path);

    static native long endpointCluster(long endpoint);

    static native void endpointClose(long endpoint);

    static native long connect(int kind, long endpoint, int delivery, int start, long seq, long history, long next,
            long chain);

    static native void close(long handle);

    /** Says where events are stored, and stores those of the last poll there. */
    static native void setMemory(long handle, ByteBuffer rows, ByteBuffer bytes);

    /** Says where claimed messages are written. */
    static native void setClaims(long handle, ByteBuffer claims);

    static native long await(long handle, long timeout);

    static native long fd(long handle);

    static native long due(long handle);

    /** Polls, and stores the events in the memory if they fit. */
    static native long poll(long handle, long limit);

    /** Calls {@link Handle#onNativeEvent} for each event. */
    static native long open(long handle, byte[] name, long timeout, Handle events);

    /** Calls {@link Handle#onNativeEvent} for each event. */
    static native long begin(long handle, long timeout, Handle events);

    /** Calls {@link Handle#onNativeEvent} for each event, until that has an answer. */
    static native long request(long handle, int publisher, int destination, byte[] payload, long timeout, Handle events);

    static native long publishArray(long handle, int publisher, int destination, byte[] array, int offset, int length);

    static native long publishDirect(long handle, int publisher, int destination, ByteBuffer buffer, int offset,
            int length);

    static native long publishArrayAt(long handle, int publisher, long number, int destination, byte[] array,
            int offset, int length);

    static native long publishDirectAt(long handle, int publisher, long number, int destination, ByteBuffer buffer,
            int offset, int length);

    static native long claim(long handle, int publisher, int destination, int length);

    static native long closeName(long handle, int publisher, byte[] reason);

    static native long startDay(long handle, int publisher, byte[] day);

    static native long endDay(long handle, int publisher);

    static native long flush(long handle);

    static native long outcomes(long handle, long[] counts);

    static native long isDrained(long handle);

    static native long isConnected(long handle);

    static native long messageLenMax(long handle, int destination);

    static native long claimLenMax(long handle);

    static native long deliverNext(long handle);

    static native long commitNext(long handle);

    static native long isEnded(long handle);

    static native long cursor(long handle, long[] cursor);

    /** The merged subscriber of a set, as an address. Without a path the environment names its file. */
    static native long mergedConnect(byte[] path, byte[] start, long timeout);

    static native void mergedClose(long handle);

    /** Says where events and their places are stored, and stores those of the last poll there. */
    static native void mergedSetMemory(long handle, ByteBuffer rows, ByteBuffer bytes, ByteBuffer places);

    static native long mergedPoll(long handle, long limit);

    static native long mergedAwait(long handle, long timeout);

    /** Stores the text in the array. */
    static native long mergedCursor(long handle, byte[][] text);

    static native long mergedNextNumber(long handle);

    static native long mergedIsEnded(long handle);

    static native byte[] mergedStreamName(long handle, long stream);

    /** Hands on the effects in the buffer of {@link Output}. */
    static native long outputReplay(long output, ByteBuffer effects);

    /** Hands on one effect, which is larger than that buffer. */
    static native long outputAdd(long output, int kind, long key, long at, byte[] payload);

    /** Opens a replica, whose machines call {@link Machines}; the numbers are those of {@link AppSettings#numbers}. */
    static native long appOpen(long endpoint, Machines machines, int version, byte[] name, byte[] folder, byte[] serve,
            byte[] hosts, byte[] peers, long[] numbers);

    /** Opens the debugger of a machine, and returns when that has ended; all as of {@link #appOpen}. */
    static native long debug(long endpoint, Machines machines, int version, byte[] name, byte[] folder);

    static native void appClose(long app);

    static native long appTurn(long app);

    static native long appAwait(long app, long timeout);

    static native long appLook(long app, long[] state);

    static native long appDigest(long app, long[] digest);

    static native long appTakeOver(long app);

    /** The number of the machine in {@link Machines}. */
    static native long appMachine(long app);

    static native long trial(Machines machines, int version, long[] plan, boolean hasMessages, boolean hasInvariant,
            long[] report);

    /** Applies inputs, of which each has ten numbers, a payload, and a user or null. */
    static native long twice(Machines machines, int version, long[] numbers, byte[][] payloads, byte[][] users,
            long every, boolean hasInvariant, long[] report);

    /** Without machines: of the counter in Rust. */
    static native long applyCost(Machines machines, int version, long messages, double[] cost);
}
