package io.lockstep;

import java.time.Duration;

/** What an argument is that is left out. */
final class Defaults {
    // Written from bindings/api.toml: defaults.
    /** Ten seconds, behind which a leader would have answered after several takeovers. */
    static final Duration TIMEOUT = Duration.ofSeconds(10);
    /** Messages of a turn that gives them one by one. */
    static final int LIMIT = 256;
    /** Messages of a batch; it is full with 256 KiB of payloads anyway. */
    static final int BATCH_LIMIT = 4096;
    // End of what is written from bindings/api.toml.

    private Defaults() {}
}
