//! Key schedule and records against the traces of RFC 8448, and records that are wrong.

use super::rfc8448::{self as rfc, hex};
use crate::alert::Fault;
use crate::crypto::{Hash, Keyed, Secret, Suite};
use crate::key_schedule::{EarlySecret, Schedule, TrafficKey, TrafficSecret, ticket_key};
use crate::record::{Protection, RECORDS_PER_KEY};
use crate::wire::hello::ClientHello;
use crate::wire::record::{Content, HEADER, Header};
use alloc::vec;
use alloc::vec::Vec;

const SUITE: Suite = Suite::Aes128GcmSha256;

fn secret(text: &str) -> Secret {
    Secret::new(&hex(text))
}

fn traffic(text: &str) -> TrafficSecret {
    TrafficSecret::new(Hash::Sha256, secret(text))
}

#[test]
fn the_schedule_is_that_of_the_trace() {
    let [hello, answer, flight] =
        [rfc::CLIENT_HELLO, rfc::SERVER_HELLO, rfc::SERVER_FLIGHT].map(hex);
    let early = EarlySecret::new(Hash::Sha256, &Secret::zeros(Hash::Sha256));
    assert!(early.is(&hex(rfc::EARLY)));
    let schedule = Schedule::new(Hash::Sha256, None, &hex(rfc::SHARED));
    assert!(schedule.is_at(&hex(rfc::HANDSHAKE)));
    let traffic = schedule.handshake_traffic(&Hash::Sha256.of(&[&hello, &answer]));
    assert_eq!(traffic.client.bytes(), hex(rfc::CLIENT_HANDSHAKE));
    assert_eq!(traffic.server.bytes(), hex(rfc::SERVER_HANDSHAKE));
    // The server's Finished is the last message of its flight.
    let (before, message) = flight.split_at(flight.len() - 36);
    let digest = Hash::Sha256.of(&[&hello, &answer, before]);
    let verify = traffic.server.finished(&digest);
    assert_eq!(verify.bytes(), &message[4..]);
    let schedule = schedule.into_master();
    assert!(schedule.is_at(&hex(rfc::MASTER)));
    let digest = Hash::Sha256.of(&[&hello, &answer, &flight]);
    let application = schedule.application_traffic(&digest);
    assert_eq!(application.client.bytes(), hex(rfc::CLIENT_APPLICATION));
    assert_eq!(application.server.bytes(), hex(rfc::SERVER_APPLICATION));
    let message = hex(rfc::CLIENT_FINISHED);
    let verify = traffic.client.finished(&digest);
    assert_eq!(verify.bytes(), &message[4..]);
    let resumption = schedule.resumption(&Hash::Sha256.of(&[&hello, &answer, &flight, &message]));
    assert_eq!(resumption.bytes(), hex(rfc::RESUMPTION));
    let resumption = Keyed::new(Hash::Sha256, resumption.bytes());
    assert_eq!(ticket_key(&resumption, &[0, 0]).bytes(), hex(rfc::TICKET));
}

#[test]
fn a_resumed_schedule_is_that_of_the_trace() {
    let early = EarlySecret::new(Hash::Sha256, &secret(rfc::TICKET));
    assert!(early.is(&hex(rfc::RESUMED_EARLY)));
    assert_eq!(early.binder_key().bytes(), hex(rfc::BINDER));
    let [hello, answer, flight, message] = [
        rfc::RESUMED_CLIENT_HELLO,
        rfc::RESUMED_SERVER_HELLO,
        rfc::RESUMED_SERVER_FLIGHT,
        rfc::RESUMED_FINISHED,
    ]
    .map(hex);
    let keys = ClientHello::parse(&hello[4..]).unwrap().keys.unwrap();
    let (covered, _) = hello.split_at(hello.len() - keys.binders_length());
    let binder = early.binder(&Hash::Sha256.of(&[covered]));
    assert_eq!(keys.iter().next().unwrap().1, binder.bytes());
    let traffic = early.early_traffic(&Hash::Sha256.of(&[&hello]));
    assert_eq!(traffic.bytes(), hex(rfc::EARLY_TRAFFIC));
    let schedule = Schedule::new(Hash::Sha256, Some(&early), &hex(rfc::RESUMED_SHARED));
    assert!(schedule.is_at(&hex(rfc::RESUMED_HANDSHAKE)));
    let traffic = schedule.handshake_traffic(&Hash::Sha256.of(&[&hello, &answer]));
    assert_eq!(traffic.client.bytes(), hex(rfc::RESUMED_CLIENT_HANDSHAKE));
    assert_eq!(traffic.server.bytes(), hex(rfc::RESUMED_SERVER_HANDSHAKE));
    let (before, theirs) = flight.split_at(flight.len() - 36);
    let digest = Hash::Sha256.of(&[&hello, &answer, before]);
    assert_eq!(traffic.server.finished(&digest).bytes(), &theirs[4..]);
    let schedule = schedule.into_master();
    assert!(schedule.is_at(&hex(rfc::RESUMED_MASTER)));
    let application = schedule.application_traffic(&Hash::Sha256.of(&[&hello, &answer, &flight]));
    assert_eq!(application.client.bytes(), hex(rfc::RESUMED_CLIENT_APPLICATION));
    assert_eq!(application.server.bytes(), hex(rfc::RESUMED_SERVER_APPLICATION));
    // The end of early data counts.
    let digest = Hash::Sha256.of(&[&hello, &answer, &flight, &END]);
    assert_eq!(traffic.client.finished(&digest).bytes(), &message[4..]);
    let digest = Hash::Sha256.of(&[&hello, &answer, &flight, &END, &message]);
    assert_eq!(schedule.resumption(&digest).bytes(), hex(rfc::RESUMED_RESUMPTION));
}

/// What is the same for everybody is written down, and not computed each time.
#[test]
fn constants_are_what_they_stand_for() {
    for hash in [Hash::Sha256, Hash::Sha384] {
        assert_eq!(hash.of_nothing(), hash.of(&[]).bytes());
        // Without a key, the early secret is that of zeros.
        let early = EarlySecret::new(hash, &Secret::zeros(hash));
        let (with, without) =
            (Schedule::new(hash, Some(&early), b"shared"), Schedule::new(hash, None, b"shared"));
        let digest = hash.of(&[b"transcript"]);
        assert_eq!(with.resumption(&digest).bytes(), without.resumption(&digest).bytes());
    }
}

/// The message that ends early data.
const END: [u8; 4] = [5, 0, 0, 0];

#[test]
fn traffic_keys_are_those_of_the_trace() {
    for (text, key, iv) in [
        (rfc::SERVER_HANDSHAKE, "3fce516009c21727d0f2e4e86ee403bc", "5d313eb2671276ee13000b30"),
        (rfc::CLIENT_HANDSHAKE, "dbfaa693d1762c5b666af5d950258d01", "5bd3c71b836e0b76bb73265f"),
        (rfc::SERVER_APPLICATION, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"),
        (rfc::CLIENT_APPLICATION, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"),
    ] {
        let made = TrafficKey::new(SUITE, &traffic(text));
        assert_eq!(made.key[..16], hex(key));
        assert_eq!(made.iv.as_slice(), hex(iv));
    }
}

/// The whole record of `content` and its type, padded by `padding` zeros.
fn seal(protection: &mut Protection, content: &[u8], kind: u8, padding: usize) -> Vec<u8> {
    let mut inner = content.to_vec();
    inner.push(kind);
    inner.extend(core::iter::repeat_n(0, padding));
    let (header, tag) = protection.seal(&mut inner).unwrap();
    [&header[..], &inner, &tag].concat()
}

fn open(protection: &mut Protection, record: &[u8]) -> Result<(Content, Vec<u8>), Fault> {
    let (header, body) = record.split_first_chunk::<HEADER>().unwrap();
    let mut body = body.to_vec();
    let opened = protection.open(header, &mut body)?;
    Ok((opened.content, body[..opened.length].to_vec()))
}

#[test]
fn records_are_those_of_the_trace() {
    for (text, content, record) in [
        (rfc::SERVER_HANDSHAKE, rfc::SERVER_FLIGHT, rfc::SERVER_FLIGHT_RECORD),
        (rfc::CLIENT_HANDSHAKE, rfc::CLIENT_FINISHED, rfc::CLIENT_FINISHED_RECORD),
        (rfc::RESUMED_SERVER_HANDSHAKE, rfc::RESUMED_SERVER_FLIGHT, rfc::RESUMED_SERVER_RECORD),
        (rfc::RESUMED_CLIENT_HANDSHAKE, rfc::RESUMED_FINISHED, rfc::RESUMED_FINISHED_RECORD),
    ] {
        let [content, record] = [content, record].map(hex);
        let mut protection = Protection::new(SUITE, traffic(text));
        assert_eq!(seal(&mut protection, &content, Content::Handshake as u8, 0), record);
        let mut protection = Protection::new(SUITE, traffic(text));
        assert_eq!(open(&mut protection, &record), Ok((Content::Handshake, content)));
    }
    let mut protection = Protection::new(SUITE, traffic(rfc::EARLY_TRAFFIC));
    let record = hex(rfc::EARLY_RECORD);
    assert_eq!(open(&mut protection, &record), Ok((Content::Data, b"ABCDEF".to_vec())));
    let ended = open(&mut protection, &hex(rfc::END_RECORD));
    assert_eq!(ended, Ok((Content::Handshake, END.to_vec())));
}

const SUITES: [Suite; 3] = Suite::ALL;

fn pair(suite: Suite) -> (Protection, Protection) {
    let secret = Secret::new(&[7; 48][..suite.hash().length()]);
    let secret = TrafficSecret::new(suite.hash(), secret);
    (Protection::new(suite, secret.clone()), Protection::new(suite, secret))
}

#[test]
fn what_was_sealed_opens_whatever_its_length_and_padding() {
    for suite in SUITES {
        let (mut writer, mut reader) = pair(suite);
        for (length, padding) in [(0, 0), (0, 100), (1, 0), (1400, 3), (16_384, 0), (100, 16_284)] {
            let content = vec![0x5a; length];
            let record = seal(&mut writer, &content, 23, padding);
            assert_eq!(open(&mut reader, &record), Ok((Content::Data, content)));
        }
        writer.update();
        let record = seal(&mut writer, b"more", 23, 0);
        assert_eq!(open(&mut reader, &record), Err(Fault::BadRecord));
        reader.update();
        assert_eq!(open(&mut reader, &record), Ok((Content::Data, b"more".to_vec())));
    }
}

#[test]
fn a_record_that_was_touched_does_not_open_and_does_not_count() {
    for suite in SUITES {
        let (mut writer, mut reader) = pair(suite);
        let record = seal(&mut writer, b"content", 23, 0);
        for at in 0..record.len() {
            let mut touched = record.clone();
            touched[at] ^= 1;
            assert_eq!(open(&mut reader, &touched), Err(Fault::BadRecord), "byte {at}");
        }
        for length in HEADER..record.len() {
            assert_eq!(open(&mut reader, &record[..length]), Err(Fault::BadRecord));
        }
        assert!(open(&mut reader, &record).is_ok());
        // Once.
        assert_eq!(open(&mut reader, &record), Err(Fault::BadRecord));
    }
}

#[test]
fn content_needs_a_type_that_there_is() {
    let (mut writer, mut reader) = pair(SUITE);
    let record = seal(&mut writer, &[], 0, 20);
    assert_eq!(open(&mut reader, &record), Err(Fault::NoContentType));
    let record = seal(&mut writer, b"x", 24, 0);
    assert_eq!(open(&mut reader, &record), Err(Fault::UnexpectedRecord));
}

#[test]
fn no_record_is_longer_than_it_may_be() {
    let (mut writer, _) = pair(SUITE);
    assert_eq!(writer.seal(&mut vec![0; 16_386]), Err(Fault::Internal));
    for (content, length, expected) in [
        (23, 16_384 + 256, None),
        (23, 16_384 + 257, Some(Fault::RecordTooLong)),
        (22, 16_384, None),
        (22, 16_385, Some(Fault::RecordTooLong)),
        (19, 1, Some(Fault::UnexpectedRecord)),
        (24, 1, Some(Fault::UnexpectedRecord)),
    ] {
        let [high, low] = (length as u16).to_be_bytes();
        let parsed = Header::parse(&[content, 3, 1, high, low]);
        assert_eq!(parsed.err(), expected, "{content} {length}");
    }
}

#[test]
fn a_number_is_never_used_twice() {
    let (mut writer, _) = pair(SUITE);
    assert!(!writer.is_worn());
    writer.wear(RECORDS_PER_KEY);
    assert!(writer.is_worn());
    writer.wear(u64::MAX);
    assert_eq!(writer.seal(&mut [23]), Err(Fault::KeyExhausted));
    writer.update();
    assert!(!writer.is_worn() && writer.seal(&mut [23]).is_ok());
}

#[test]
fn the_next_secret_is_another_one() {
    let first = traffic(rfc::SERVER_APPLICATION);
    let next = first.next();
    assert_ne!(first.bytes(), next.bytes());
    assert_eq!(next.bytes().len(), 32);
}
