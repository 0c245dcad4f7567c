use super::*;

/// One round of ten acknowledgements, all measured as `rtt`.
fn round(it: &mut HyStart, number: u32, rtt: u32) -> bool {
    let (from, to) = (Seq(number * 100), Seq((number + 1) * 100));
    (1..=10).any(|ack| it.acknowledged(from + ack * 10, to, rtt))
}

#[test]
fn a_path_that_stays_as_it_is_never_ends_slow_start() {
    let mut it = HyStart::new();
    assert!((1..50).all(|number| !round(&mut it, number, 40_000)));
    assert_eq!(it.divisor(), 1);
}

#[test]
fn longer_round_trips_slow_it_down_and_then_end_it() {
    let mut it = HyStart::new();
    round(&mut it, 1, 40_000);
    round(&mut it, 2, 40_000);
    round(&mut it, 3, 44_900);
    assert_eq!(it.divisor(), 1, "an eighth is 5 ms");
    round(&mut it, 4, 50_600);
    assert_eq!(it.divisor(), 4);
    assert!((5..12).any(|number| round(&mut it, number, 60_000)));
    assert!(!round(&mut it, 13, 100_000), "it ends once");
}

#[test]
fn jitter_is_forgiven() {
    let mut it = HyStart::new();
    round(&mut it, 1, 40_000);
    round(&mut it, 2, 40_000);
    round(&mut it, 3, 60_000);
    assert_eq!(it.divisor(), 4);
    round(&mut it, 4, 41_000);
    assert_eq!(it.divisor(), 1);
}
