extern crate std;

use super::*;
use alloc::vec::Vec;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

#[test]
fn a_core_enters_again_and_leaves_once() {
    let section = Section::new();
    let outer = section.enter(3);
    let inner = section.enter(3);
    assert_eq!((outer, inner), (false, true));
    section.leave(inner);
    assert_eq!(section.owner.load(Ordering::Relaxed), 3);
    section.leave(outer);
    assert_eq!(section.owner.load(Ordering::Relaxed), NOBODY);
}

#[test]
fn one_core_is_in_it_at_a_time() {
    const ROUNDS: u64 = 2_000;
    let shared = Arc::new((Section::new(), AtomicU64::new(0)));
    let cores: Vec<_> = (0..4)
        .map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    let again = shared.0.enter(number);
                    // Two steps, so that two cores at once would lose one.
                    let seen = shared.1.load(Ordering::Relaxed);
                    thread::yield_now();
                    shared.1.store(seen + 1, Ordering::Relaxed);
                    shared.0.leave(again);
                }
            })
        })
        .collect();
    for core in cores {
        core.join().unwrap();
    }
    assert_eq!(shared.1.load(Ordering::Relaxed), 4 * ROUNDS);
}
