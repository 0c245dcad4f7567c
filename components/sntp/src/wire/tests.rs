use super::*;

/// A server's answer to question 7 with these times.
fn answer(received: u64, sent: u64) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    (message[0], message[1]) = (4 << 3 | 4, 2);
    message[24..32].copy_from_slice(&7_u64.to_be_bytes());
    message[32..40].copy_from_slice(&received.to_be_bytes());
    message[40..48].copy_from_slice(&sent.to_be_bytes());
    message
}

fn with(at: usize, bytes: &[u8]) -> [u8; MESSAGE] {
    let mut message = answer(0xe000_0000 << 32, 0xe000_0001 << 32);
    message[at..at + bytes.len()].copy_from_slice(bytes);
    message
}

#[test]
fn times_are_those_of_both_eras() {
    // 2021-02-20 and, past the end of the first era, 2036-02-07 and 2100-01-01.
    let cases = [
        (3_822_768_000 << 32, 1_613_779_200),
        (0, 2_085_978_496),
        (0x7830_d580 << 32, 4_102_444_800),
    ];
    for (stamp, unix) in cases {
        let half = stamp | 1 << 31;
        assert_eq!(nanos(half), unix * 1_000_000_000 + 500_000_000, "{stamp:x}");
    }
    assert_eq!(nanos(u64::MAX) % 1_000_000_000, 999_999_999);
}

#[test]
fn a_question_carries_nothing_but_its_number() {
    let message = question(0x0102_0304_0506_0708);
    assert_eq!((message[0], &message[40..]), (0x23, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    assert!(message[1..40].iter().all(|byte| *byte == 0));
}

#[test]
fn answers_mean_what_their_fields_say() {
    let good = with(0, &[]);
    assert!(matches!(Answer::parse(&good, 7), Answer::Time { .. }));
    let cases = [
        (&good[..47], 7, Answer::Foreign),
        (&good[..], 8, Answer::Foreign),
        (&with(0, &[4 << 3 | 3]), 7, Answer::Foreign),
        (&with(0, &[2 << 3 | 4]), 7, Answer::Foreign),
        (&with(0, &[3 << 6 | 4 << 3 | 4]), 7, Answer::Unsynchronised),
        (&with(1, &[16]), 7, Answer::Unsynchronised),
        (&with(4, &[0, 2]), 7, Answer::Unsynchronised),
        (&with(40, &[0; 8]), 7, Answer::Unsynchronised),
    ];
    for (message, number, expected) in cases {
        assert_eq!(Answer::parse(message, number), expected, "{message:?}");
    }
    let kisses = [
        (b"DENY", Answer::Deny),
        (b"RSTR", Answer::Deny),
        (b"RATE", Answer::Slower),
        (b"INIT", Answer::Unsynchronised),
    ];
    for (code, expected) in kisses {
        let mut message = with(12, code);
        message[1] = 0;
        assert_eq!(Answer::parse(&message, 7), expected, "{code:?}");
        assert_eq!(Answer::parse(&message, 6), Answer::Foreign, "a kiss is checked, too");
    }
}
