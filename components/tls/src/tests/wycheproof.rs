//! Project Wycheproof's vectors for every primitive, through the calls that the protocol makes.

use crate::crypto::{AeadKey, Group, Hash, Keyed, Suite, exchange_with};
use alloc::vec::Vec;
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};
use wycheproof::TestResult::{Acceptable, Invalid, Valid};
use wycheproof::{aead, ecdh, hkdf, mac, mlkem, xdh};

/// Numbers that are not random at all: these bytes, and none behind them.
struct Known<'a>(&'a [u8]);

impl TryRng for Known<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are made of bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are made of bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let (now, rest) = self.0.split_at(bytes.len());
        bytes.copy_from_slice(now);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Known<'_> {}

/// `bytes` as a number of `length` bytes.
fn number(bytes: &[u8], length: usize) -> Vec<u8> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut number = alloc::vec![0; length - bytes.len()];
    number.extend_from_slice(bytes);
    number
}

fn aead_vectors(name: aead::TestName, suite: impl Fn(usize) -> Option<Suite>) {
    let (mut opened, mut refused) = (0, 0);
    for group in aead::TestSet::load(name).unwrap().test_groups {
        // TLS has one length of nonces and one of tags.
        let Some(suite) = suite(group.key_size) else { continue };
        if (group.nonce_size, group.tag_size) != (96, 128) {
            continue;
        }
        for test in group.tests {
            let mut key = [0; 32];
            key[..test.key.len()].copy_from_slice(&test.key);
            let key = AeadKey::new(suite.cipher(), &key);
            let nonce = test.nonce[..].try_into().unwrap();
            let tag = test.tag[..].try_into().unwrap();
            let mut data = test.ct.to_vec();
            let result = key.open(&nonce, &test.aad, &mut data, &tag);
            if test.result == Invalid {
                assert!(result.is_err(), "{name:?} {}", test.tc_id);
                assert_eq!(data, test.ct[..], "what is forged stays as it is");
                refused += 1;
                continue;
            }
            assert!(result.is_ok() && data == test.pt[..], "{name:?} {}", test.tc_id);
            let made = key.seal(&nonce, &test.aad, &mut data).unwrap();
            assert!(made == tag && data == test.ct[..], "{name:?} {}", test.tc_id);
            opened += 1;
        }
    }
    assert!(opened > 50 && refused > 20, "{name:?}: {opened} and {refused}");
}

#[test]
fn ciphers_open_what_is_right_and_nothing_else() {
    aead_vectors(aead::TestName::AesGcm, |bits| match bits {
        128 => Some(Suite::Aes128GcmSha256),
        256 => Some(Suite::Aes256GcmSha384),
        _ => None,
    });
    aead_vectors(aead::TestName::ChaCha20Poly1305, |_| Some(Suite::ChaCha20Poly1305Sha256));
}

#[test]
fn x25519_agrees_and_refuses_zeros() {
    let mut count = 0;
    for test in xdh::TestSet::load(xdh::TestName::X25519).unwrap().test_groups[0].tests.iter() {
        let result = exchange_with(Group::X25519, &test.public_key, &mut Known(&test.private_key));
        let is_zero = test.shared_secret.iter().all(|byte| *byte == 0);
        match result {
            Ok(shared) => assert_eq!(shared.secret, test.shared_secret[..], "{}", test.tc_id),
            Err(_) => {
                // RFC 8446 section 7.4.2 has zeros refused, whoever else accepts them.
                assert!(
                    is_zero && test.result != Valid || test.result == Invalid,
                    "{}",
                    test.tc_id
                );
            }
        }
        count += 1;
    }
    assert!(count > 500, "{count}");
}

fn curve_vectors(name: ecdh::TestName, group: Group, length: usize) {
    let (mut agreed, mut refused) = (0, 0);
    for tests in ecdh::TestSet::load(name).unwrap().test_groups {
        for test in tests.tests {
            let private = number(&test.private_key, length);
            let result = exchange_with(group, &test.public_key, &mut Known(&private));
            match (result, test.result) {
                (Ok(shared), Valid) => {
                    assert_eq!(shared.secret, test.shared_secret[..], "{name:?} {}", test.tc_id);
                    agreed += 1;
                }
                // Compressed points are not TLS's (RFC 8446 section 4.2.8.2).
                (Err(_), Invalid | Acceptable) => refused += 1,
                (result, expected) => {
                    panic!("{name:?} {}: {} for {expected:?}", test.tc_id, result.is_ok());
                }
            }
        }
    }
    assert!(agreed > 100 && refused > 5, "{name:?}: {agreed} and {refused}");
}

#[test]
fn curves_agree_and_refuse_what_is_no_point() {
    curve_vectors(ecdh::TestName::EcdhSecp256r1Ecpoint, Group::P256, 32);
    curve_vectors(ecdh::TestName::EcdhSecp384r1Ecpoint, Group::P384, 48);
}

#[test]
fn ml_kem_encapsulates_as_it_should() {
    // Of the other half of the hybrid: any key, and any point of a client that has a large order.
    let (private, point) = ([5; 32], [9; 32]);
    let (mut made, mut refused) = (0, 0);
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = test.encaps_key.as_ref().unwrap();
        let random = [&private[..], test.msg.as_ref().unwrap()].concat();
        let share = [&key[..], &point].concat();
        let result = exchange_with(Group::X25519MlKem768, &share, &mut Known(&random));
        match (result, test.result) {
            (Ok(shared), Valid) => {
                assert_eq!(shared.share[..1088], test.ct.as_ref().unwrap()[..], "{}", test.tc_id);
                let secret = test.shared_secret.as_ref().unwrap();
                assert_eq!(shared.secret[..32], secret[..], "{}", test.tc_id);
                made += 1;
            }
            (Err(_), Invalid) => refused += 1,
            (result, expected) => {
                panic!("{}: {} for {expected:?}", test.tc_id, result.is_ok());
            }
        }
    }
    assert!(made + refused > 50 && made > 0 && refused > 0, "{made} and {refused}");
}

#[test]
fn hkdf_and_hmac_are_as_they_should() {
    for (name, mac_name, hash) in [
        (hkdf::TestName::HkdfSha256, mac::TestName::HmacSha256, Hash::Sha256),
        (hkdf::TestName::HkdfSha384, mac::TestName::HmacSha384, Hash::Sha384),
    ] {
        let mut count = 0;
        let set = hkdf::TestSet::load(name).unwrap();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result == Invalid {
                // Longer than 255 hashes; nothing in TLS is.
                assert!(test.size > 255 * hash.length());
                continue;
            }
            let secret = Keyed::new(hash, &test.salt).extract(&test.ikm);
            let mut output = alloc::vec![0; test.size];
            Keyed::new(hash, secret.bytes()).expand(&[&test.info], &mut output);
            assert_eq!(output, test.okm[..], "{name:?} {}", test.tc_id);
            count += 1;
        }
        assert!(count > 50, "{count}");
        let set = mac::TestSet::load(mac_name).unwrap();
        for group in set.test_groups {
            for test in group.tests {
                let made = Keyed::new(hash, &test.key).mac(&[&test.msg]);
                let equal = made.bytes()[..group.tag_size / 8] == test.tag[..];
                assert_eq!(equal, test.result != Invalid, "{mac_name:?} {}", test.tc_id);
            }
        }
    }
}
