use super::*;

const MIN: u32 = 200_000;

#[test]
fn the_arithmetic_of_rfc_6298() {
    let mut rtt = Rtt::new();
    assert_eq!(rtt.timeout(), Duration::from_secs(1));
    rtt.sample(400_000, MIN);
    assert_eq!(rtt.timeout(), Duration::from_millis(400 + 4 * 200));
    rtt.sample(800_000, MIN);
    assert_eq!(rtt.smoothed(), Some(Duration::from_millis(450)));
    assert_eq!(rtt.timeout(), Duration::from_millis(450 + 4 * 250));
}

#[test]
fn the_timeout_doubles_up_to_its_maximum_and_relaxes() {
    let mut rtt = Rtt::new();
    rtt.sample(1_000, MIN);
    assert_eq!(rtt.timeout(), Duration::from_millis(200));
    rtt.back_off();
    assert_eq!(rtt.timeout(), Duration::from_millis(400));
    for _ in 0..300 {
        rtt.back_off();
    }
    assert_eq!(rtt.timeout(), Duration::from_secs(120));
    rtt.relax();
    assert_eq!(rtt.timeout(), Duration::from_millis(200));
}

#[test]
fn a_lost_syn_makes_the_first_timeout_three_seconds() {
    let mut rtt = Rtt::new();
    rtt.syn_was_lost();
    assert_eq!(rtt.timeout(), Duration::from_secs(3));
    rtt.sample(50_000, MIN);
    rtt.syn_was_lost();
    assert_eq!(rtt.timeout(), Duration::from_millis(200));
}
