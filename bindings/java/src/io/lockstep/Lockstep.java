package io.lockstep;

import java.nio.charset.StandardCharsets;

/** The library itself. */
public final class Lockstep {
    /** Destinations from here on, counted without a sign, are channels. */
    public static final int CHANNELS = 1 << 31;

    private Lockstep() {}

    /**
     * The version of the C library that is inside the native library.
     *
     * @return a text like {@code 0.1.0}
     */
    public static String version() {
        return new String(Native.libraryVersion(), StandardCharsets.UTF_8);
    }
}
