use super::*;

const MSS: u32 = 1_000;

#[test]
fn cube_roots_are_exact() {
    for (value, root) in [(0, 0), (1, 1), (7, 1), (8, 2), (26, 2), (27, 3), (1 << 60, 1 << 20)] {
        assert_eq!(cube_root(value), root);
    }
    assert_eq!(cube_root(u64::MAX), 2_642_245);
}

/// Acknowledges whole windows, one for each round trip of `rtt` milliseconds.
fn rounds(cubic: &mut Cubic, mut window: u32, rtt: u32, from: u32, to: u32) -> u32 {
    let mut millis = from;
    while millis < to {
        for _ in 0..10 {
            let count = window / 10;
            let acked = Acked { count, mss: MSS, millis, rtt: rtt * 1_000 };
            window = cubic.grow(window, acked);
        }
        millis += rtt;
    }
    window
}

#[test]
fn the_window_is_back_after_k_and_grows_beyond_it_slowly_first() {
    let mut cubic = Cubic::new();
    cubic.lost(1_000 * MSS);
    let start = beta(1_000 * MSS);
    // K = cbrt(300 / 0.4) = 9.086 s.
    let half = rounds(&mut cubic, start, 100, 0, 4_500);
    assert_eq!(cubic.climb, 9_085);
    assert!((950 * MSS..970 * MSS).contains(&half), "{half}: concave");
    let back = rounds(&mut cubic, half, 100, 4_500, 9_100);
    assert!((995 * MSS..1_002 * MSS).contains(&back), "{back}");
    let later = rounds(&mut cubic, back, 100, 9_100, 14_100);
    assert!((1_040 * MSS..1_060 * MSS).contains(&later), "{later}: convex, 0.4 * 5^3");
}

#[test]
fn on_a_short_path_it_is_as_fast_as_reno() {
    let mut cubic = Cubic::new();
    cubic.lost(20 * MSS);
    let window = rounds(&mut cubic, beta(20 * MSS), 1, 0, 40);
    // 9/17 of a segment for each round trip until the peak, then one.
    assert!((45 * MSS..50 * MSS).contains(&window), "{window}");
}

#[test]
fn it_is_slower_than_reno_until_the_window_is_back() {
    // Fast convergence lowers the plateau, but the window was 80 segments.
    let mut cubic = Cubic::new();
    cubic.lost(100 * MSS);
    cubic.lost(80 * MSS);
    let window = rounds(&mut cubic, beta(80 * MSS), 1, 0, 40);
    assert!((76 * MSS..78 * MSS).contains(&window), "{window}");
}

#[test]
fn fast_convergence_leaves_room() {
    let mut cubic = Cubic::new();
    cubic.lost(100 * MSS);
    cubic.lost(80 * MSS);
    assert_eq!(cubic.peaks(), (68 * MSS, 80 * MSS));
    cubic.lost(70 * MSS);
    assert_eq!(cubic.peaks(), (70 * MSS, 70 * MSS));
}

#[test]
fn a_step_is_at_most_half_the_window_for_each_round_trip() {
    let mut cubic = Cubic::new();
    cubic.lost(10 * MSS);
    let acked = Acked { count: 0, mss: MSS, millis: 0, rtt: 0 };
    cubic.grow(7 * MSS, acked);
    let acked = Acked { count: 7 * MSS, millis: 100_000, ..acked };
    assert_eq!(cubic.grow(7 * MSS, acked), 7 * MSS + 7 * MSS / 2);
}
