use super::*;
use std::vec::Vec;

const SIZE: u32 = 1_000;

fn sent(delivery: &mut Delivery, at: u32, end: u32, in_flight: u32) -> Sent {
    let stamp = delivery.sends(at, in_flight, in_flight == SIZE);
    Sent { stamp, at, end: Seq(end), size: SIZE, again: false }
}

#[test]
fn the_rate_is_what_was_delivered_since_the_newest_was_sent() {
    let mut delivery = Delivery::new(0);
    let first = sent(&mut delivery, 1_000, 1_000, SIZE);
    let second = sent(&mut delivery, 1_000, 2_000, 2 * SIZE);
    delivery.arrived(&first, 11_000);
    delivery.arrived(&second, 11_000);
    let sample = delivery.sample(10_000).unwrap();
    assert_eq!((sample.rate, sample.delivered, sample.rtt), (Some(200_000), 2_000, Some(10_000)));
    assert_eq!((sample.acked, sample.in_flight, sample.limited), (2_000, 2_000, false));
    assert!(delivery.sample(10_000).is_none(), "nothing has arrived since");
}

#[test]
fn acknowledgements_that_come_all_at_once_do_not_make_the_path_look_fast() {
    let mut delivery = Delivery::new(0);
    let packets: Vec<_> = (1..=10)
        .map(|index| sent(&mut delivery, index * 1_000, index * SIZE, index * SIZE))
        .collect();
    packets.iter().for_each(|packet| delivery.arrived(packet, 20_000));
    // Ten in the 19 ms since the first was sent, not ten at once.
    assert_eq!(delivery.sample(1_000).unwrap().rate, Some(10_000 * 1_000 / 19));
}

#[test]
fn shorter_than_a_round_trip_is_no_sample_and_what_was_sent_twice_no_round_trip() {
    let mut delivery = Delivery::new(0);
    let packet = Sent { again: true, ..sent(&mut delivery, 5_000, 1_000, SIZE) };
    delivery.arrived(&packet, 6_000);
    let sample = delivery.sample(10_000).unwrap();
    assert_eq!((sample.rate, sample.rtt), (None, None));
}

#[test]
fn a_gap_marks_what_is_sent_until_all_before_it_is_delivered() {
    let mut delivery = Delivery::new(0);
    let before = sent(&mut delivery, 1_000, 1_000, SIZE);
    delivery.limit(SIZE);
    let within = sent(&mut delivery, 2_000, 2_000, 2 * SIZE);
    delivery.arrived(&before, 11_000);
    assert!(!delivery.sample(1_000).unwrap().limited);
    assert!(delivery.is_limited(), "what was under way has just arrived");
    delivery.arrived(&within, 12_000);
    assert!(delivery.sample(1_000).unwrap().limited);
    assert!(!delivery.is_limited());
}

#[test]
fn losses_count_from_when_a_packet_was_sent() {
    let mut delivery = Delivery::new(u32::MAX - 500);
    let lost = sent(&mut delivery, u32::MAX - 500, 1_000, SIZE);
    assert_eq!(delivery.loses(&lost), SIZE);
    let after = sent(&mut delivery, 1_000, 2_000, SIZE);
    assert_eq!(delivery.loses(&after), SIZE, "the first one was lost before");
}
