use super::*;

const MSS: u32 = 1_000;

#[test]
fn the_initial_window_of_rfc_6928() {
    assert_eq!(Congestion::new(1_460).window(), 14_600);
    assert_eq!(Congestion::new(536).window(), 5_360);
    assert_eq!(Congestion::new(9_000).window(), 18_000);
}

#[test]
fn slow_start_doubles_and_avoidance_adds_a_segment_per_round_trip() {
    let mut congestion = Congestion::new(MSS);
    for _ in 0..5 {
        congestion.acknowledged(2 * MSS, 10 * MSS, MSS, false);
    }
    assert_eq!(congestion.window(), 20 * MSS);
    congestion.timed_out(20 * MSS, MSS, false);
    assert_eq!((congestion.window(), congestion.threshold()), (MSS, 10 * MSS));
    for _ in 0..9 {
        congestion.acknowledged(2 * MSS, congestion.window(), MSS, true);
    }
    assert_eq!(congestion.window(), 10 * MSS, "one segment each while recovering");
    for _ in 0..10 {
        congestion.acknowledged(MSS, 10 * MSS, MSS, false);
    }
    assert_eq!(congestion.window(), 11 * MSS);
    congestion.acknowledged(MSS, MSS, MSS, false);
    assert_eq!(congestion.window(), 11 * MSS, "limited by the application");
}

#[test]
fn recovery_inflates_deflates_and_ends_at_the_threshold() {
    let mut congestion = Congestion::new(MSS);
    congestion.lost(20 * MSS, MSS);
    assert_eq!(congestion.window(), 13 * MSS);
    congestion.inflate(MSS);
    assert_eq!(congestion.window(), 14 * MSS);
    congestion.partial(3 * MSS, MSS);
    assert_eq!(congestion.window(), 12 * MSS);
    congestion.recovered(20 * MSS, MSS);
    assert_eq!(congestion.window(), 10 * MSS);
    congestion.recovered(0, MSS);
    assert_eq!(congestion.window(), 2 * MSS, "no burst");
}

#[test]
fn a_second_timeout_keeps_the_threshold_and_idling_restarts() {
    let mut congestion = Congestion::new(MSS);
    congestion.timed_out(30 * MSS, MSS, false);
    congestion.timed_out(MSS, MSS, true);
    assert_eq!((congestion.window(), congestion.threshold()), (MSS, 15 * MSS));
    let mut congestion = Congestion::new(MSS);
    congestion.acknowledged(2 * MSS, 10 * MSS, MSS, false);
    congestion.idled(MSS);
    assert_eq!(congestion.window(), 10 * MSS);
    congestion.syn_was_lost(MSS);
    assert_eq!(congestion.window(), MSS);
}
