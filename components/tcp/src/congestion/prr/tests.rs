use super::*;

const MSS: u32 = 1_000;

#[test]
fn the_first_retransmission_is_always_sent() {
    let mut prr = Prr::new(100 * MSS);
    assert_eq!(prr.allowed(0, 99 * MSS, 70 * MSS, MSS, false), MSS);
    prr.sends(MSS);
    assert_eq!(prr.allowed(0, 99 * MSS, 70 * MSS, MSS, false), 0);
}

#[test]
fn it_sends_in_proportion_to_what_arrives() {
    let mut prr = Prr::new(100 * MSS);
    let mut pipe = 97 * MSS;
    let mut sent = 0;
    for _ in 0..60 {
        pipe -= MSS;
        let allowed = prr.allowed(MSS, pipe, 70 * MSS, MSS, true);
        if allowed >= MSS {
            prr.sends(MSS);
            (pipe, sent) = (pipe + MSS, sent + 1);
        }
    }
    assert!((40..=44).contains(&sent), "{sent}: seven of ten");
}

#[test]
fn below_the_target_it_catches_up_without_a_burst() {
    let mut prr = Prr::new(100 * MSS);
    prr.sends(MSS);
    // Nearly everything was lost.
    assert_eq!(prr.allowed(2 * MSS, 10 * MSS, 70 * MSS, MSS, false), 2 * MSS);
    prr.sends(2 * MSS);
    assert_eq!(prr.allowed(2 * MSS, 10 * MSS, 70 * MSS, MSS, true), 3 * MSS);
    assert_eq!(prr.allowed(50 * MSS, 69 * MSS, 70 * MSS, MSS, true), MSS);
}
