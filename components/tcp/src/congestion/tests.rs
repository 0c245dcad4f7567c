use super::*;

const MSS: u32 = 1_000;

fn reno() -> Congestion {
    Congestion::new(Algorithm::Reno, MSS)
}

/// `count` bytes acknowledged of a window that was in use.
fn acked(count: u32) -> Acked {
    Acked { count, mss: MSS, millis: 0, rtt: 10_000 }
}

#[test]
fn the_initial_window_of_rfc_6928() {
    for (mss, window) in [(1_460, 14_600), (536, 5_360), (9_000, 18_000)] {
        assert_eq!(Congestion::new(Algorithm::Cubic, mss).window(), window);
    }
}

#[test]
fn slow_start_doubles_and_avoidance_adds_a_segment_per_round_trip() {
    let mut congestion = reno();
    for _ in 0..5 {
        congestion.acknowledged(acked(2 * MSS));
    }
    assert_eq!(congestion.window(), 20 * MSS);
    congestion.timed_out(20 * MSS, 0, MSS, false);
    assert_eq!((congestion.window(), congestion.threshold()), (MSS, 10 * MSS));
    for _ in 0..9 {
        congestion.acknowledged(acked(MSS));
    }
    assert_eq!(congestion.window(), 10 * MSS);
    for _ in 0..10 {
        congestion.acknowledged(acked(MSS));
    }
    assert_eq!(congestion.window(), 11 * MSS);
}

#[test]
fn slow_start_stops_at_the_threshold_and_takes_a_stretched_acknowledgement_in_part() {
    let mut congestion = reno();
    congestion.acknowledged(acked(100 * MSS));
    assert_eq!(congestion.window(), 18 * MSS);
    congestion.timed_out(40 * MSS, 15 * MSS, MSS, false);
    assert_eq!((congestion.window(), congestion.threshold()), (16 * MSS, 20 * MSS));
    congestion.acknowledged(acked(8 * MSS));
    assert_eq!(congestion.window(), 20 * MSS);
}

#[test]
fn a_loss_takes_half_of_renos_window_and_three_tenths_of_cubics() {
    for (algorithm, threshold) in [(Algorithm::Reno, 10 * MSS), (Algorithm::Cubic, 14 * MSS)] {
        let mut congestion = Congestion::new(algorithm, MSS);
        congestion.lost(20 * MSS, MSS);
        assert_eq!(congestion.threshold(), threshold);
        congestion.settle(MSS);
        assert_eq!(congestion.window(), threshold);
        congestion.lost(MSS, MSS);
        assert_eq!(congestion.threshold(), 2 * MSS);
    }
}

#[test]
fn a_second_timeout_keeps_the_threshold_and_idling_restarts() {
    let mut congestion = reno();
    congestion.timed_out(30 * MSS, 0, MSS, false);
    congestion.timed_out(MSS, 0, MSS, true);
    assert_eq!((congestion.window(), congestion.threshold()), (MSS, 15 * MSS));
    let mut congestion = reno();
    congestion.acknowledged(acked(2 * MSS));
    congestion.idled(MSS);
    assert_eq!(congestion.window(), 10 * MSS);
    congestion.syn_was_lost(MSS);
    assert_eq!(congestion.window(), MSS);
}

#[test]
fn after_a_timeout_cubic_begins_at_its_plateau() {
    let mut congestion = Congestion::new(Algorithm::Cubic, MSS);
    congestion.set_window(100 * MSS);
    congestion.timed_out(100 * MSS, 0, MSS, false);
    congestion.timed_out(100 * MSS, 0, MSS, true);
    while congestion.is_starting() {
        congestion.acknowledged(acked(MSS));
    }
    assert_eq!(congestion.window(), 70 * MSS);
    // 0.4 * 3^3 segments after three seconds, one of them to come, and not back at 100.
    for millis in [0, 1_000, 2_000] {
        let window = congestion.window();
        congestion.acknowledged(Acked { count: window, mss: MSS, millis, rtt: 1_000_000 });
    }
    let window = congestion.window();
    assert!((80 * MSS..82 * MSS).contains(&window), "{window}");
    // What was there before the timeout comes back with the rest when there was none.
    let mut congestion = Congestion::new(Algorithm::Cubic, MSS);
    congestion.lost(100 * MSS, MSS);
    congestion.save();
    let peaks = congestion.prior.peaks;
    assert_ne!(peaks.0, 0);
    congestion.timed_out(70 * MSS, 0, MSS, false);
    congestion.undo();
    congestion.save();
    assert_eq!(congestion.prior.peaks, peaks);
}

#[test]
fn a_loss_that_was_none_is_undone() {
    for algorithm in [Algorithm::Reno, Algorithm::Cubic] {
        let mut congestion = Congestion::new(algorithm, MSS);
        let (window, threshold) = (congestion.window(), congestion.threshold());
        congestion.timed_out(10 * MSS, 0, MSS, false);
        congestion.undo();
        assert_eq!((congestion.window(), congestion.threshold()), (window, threshold));
    }
}
