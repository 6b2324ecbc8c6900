/** Publishes into the stream of a lockstep cluster, and subscribes to it. */
module io.lockstep {
    exports io.lockstep;
}
