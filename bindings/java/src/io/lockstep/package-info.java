/**
 * lockstep's handles for Java, over its C library: a program publishes and subscribes in its own process, as one in
 * Rust does.
 *
 * <p>{@link io.lockstep.Publisher} publishes, {@link io.lockstep.Subscriber} reads the stream, and
 * {@link io.lockstep.Participant} does both in one thread. Each is connected with an {@link io.lockstep.Endpoint},
 * which reads the cluster's file. Publishing and polling allocate nothing on the Java heap.
 *
 * <p>The native library is found by {@code -Dlockstep.native=PATH}, else by {@code java.library.path} under the name
 * {@code lockstep_jni}.
 */
package io.lockstep;
