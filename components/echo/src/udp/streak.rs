//! How long each source has been answered without a pause.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;
use waitless::{Duration, Instant};

/// How many sources are told apart; those that share a place are counted together.
const PLACES: usize = 256;
/// A source that was quiet for so long begins anew.
const PAUSE: Duration = Duration::from_secs(1);

/// The streaks of all sources, in memory that does not grow.
pub struct Streaks {
    /// The answers in a row that a source gets, before one is left out.
    most: Option<u32>,
    places: Box<[Streak]>,
}

#[derive(Clone, Copy)]
struct Streak {
    last: Instant,
    answers: u32,
}

impl Streaks {
    /// Nothing was answered yet.
    pub fn new(most: Option<u32>) -> Self {
        let none = Streak { last: Instant::ZERO, answers: 0 };
        let places = if most.is_some() { PLACES } else { 0 };
        Self { most, places: vec![none; places].into_boxed_slice() }
    }

    /// Counts a datagram from a source; says whether it has its answer, or the streak ends.
    #[inline]
    pub fn goes_on(&mut self, address: IpAddr, port: u16, now: Instant) -> bool {
        let Some(most) = self.most else { return true };
        let Some(streak) = self.places.get_mut(place(address, port)) else { return true };
        if now.since(streak.last) >= PAUSE || streak.answers > most {
            streak.answers = 0;
        }
        streak.last = now;
        streak.answers += 1;
        streak.answers <= most
    }
}

/// Where a source is counted: by the upper bits of a product, which all of it has a part in.
fn place(address: IpAddr, port: u16) -> usize {
    let address = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    let source = address ^ u64::from(port).rotate_right(16);
    (source.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

const _: () = assert!(PLACES == 1 << (64 - 56));
