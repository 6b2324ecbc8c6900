//! Threads that end when they are told.

use lockstep_bench::worker::Worker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

fn until(ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        std::thread::yield_now();
    }
}

#[test]
fn a_worker_ends_when_it_is_told_and_says_what_it_found_or_why_not() {
    let worker = |found: Result<u32, String>| {
        Worker::start("worker", move |ending| {
            until(ending);
            found
        })
    };
    let working = worker(Ok(7)).unwrap();
    assert!(!working.has_ended());
    assert_eq!(working.end(), Ok(7));
    assert_eq!(worker(Err("why".into())).unwrap().end(), Err("why".into()));
}

#[test]
fn a_worker_that_is_dropped_ends() {
    let (to, ended) = channel();
    let working = Worker::start("worker", move |ending| {
        until(ending);
        to.send(()).map_err(|error| error.to_string())
    });
    drop(working);
    assert!(ended.recv().is_ok());
}
