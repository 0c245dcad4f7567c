//! Words and values, good and bad.

use super::*;
use crate::device::Platform;
use crate::testing;
use alloc::vec::Vec;

struct Told(&'static str);

impl Platform for Told {
    fn name(&self) -> &'static str {
        "test"
    }

    fn boot_options(&self) -> &str {
        self.0
    }
}

fn port(said: &'static str) -> u16 {
    let cx = testing::context_on(Box::leak(Box::new(Told(said))), 0, 0);
    let mut port = 80;
    set(&cx, "http.port", &mut port, "a port", number(1, 65_535));
    port
}

#[test]
fn what_was_said_last_counts_and_what_does_not_fit_changes_nothing() {
    assert_eq!(port("http.port=81"), 81);
    assert_eq!(port("http.port=81 log=debug http.port=82 https.port=443"), 82);
    for said in ["", "http.port", "port=81", "http.port=", "http.port=0", "http.port=65536"] {
        assert_eq!(port(said), 80, "{said}");
    }
}

#[test]
fn only_words_with_a_dot_are_keys() {
    let line = "kernel log=debug a.b=1=2 quiet c.d virtio_mmio.device=512@0xfeb00e00:12 e.f=";
    let all: Vec<_> = words(line).collect();
    assert_eq!(all, [("a.b", "1=2"), ("e.f", "")]);
}

#[test]
fn values_are_read_as_in_the_manifest() {
    assert_eq!(number::<u8>(0, 255)("255"), Some(255));
    assert_eq!(number::<u8>(0, 1000)("256"), None);
    assert_eq!(number::<u32>(0, u64::MAX)("65_536"), Some(65_536));
    assert_eq!(number::<u64>(0, u64::MAX)("18446744073709551616"), None);
    for bad in ["", "_", "_1", "+1", "-1", "1 ", "0x1", "1k"] {
        assert_eq!(number::<u64>(0, u64::MAX)(bad), None, "{bad}");
    }
    assert_eq!((size(0, u64::MAX)("64K"), size(0, 4095)("4096")), (Some(65_536), None));
    assert_eq!((size(0, u64::MAX)("G"), size(0, u64::MAX)("1T")), (None, None));
    assert_eq!(size(0, u64::MAX)("18446744073709551615G"), None);
    assert_eq!(duration(0, u64::MAX)("200ms"), Some(Duration::from_millis(200)));
    assert_eq!((duration(0, u64::MAX)("5"), duration(0, 1_000)("2s")), (None, None));
    assert_eq!((parsed("true"), parsed::<bool>("yes")), (Some(true), None));
    assert_eq!(text(1, 3)("abc"), Some("abc"));
    assert_eq!(text(1, 3)("abcd"), None);
}

#[test]
fn addresses_are_read_as_in_the_manifest() {
    let ten = Ipv4Addr::new(10, 0, 2, 15);
    assert_eq!(cidr4("10.0.2.15/24"), Some((ten, 24)));
    for bad in ["10.0.2.15", "10.0.2.15/33", "10.0.2/24", "10.0.2.15/", "/24"] {
        assert_eq!(cidr4(bad), None, "{bad}");
    }
    assert_eq!(or("dhcp", cidr4)("dhcp"), Some(None));
    assert_eq!(or("dhcp", cidr4)("10.0.2.15/24"), Some(Some((ten, 24))));
    assert_eq!(or("dhcp", cidr4)("static"), None);
    assert_eq!((some(cidr4)("10.0.2.15/24"), some(cidr4)("")), (Some(Some((ten, 24))), None));
    assert_eq!(mac("52:54:00:12:34:56"), Some(Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56])));
    for bad in ["52:54:00:12:34", "52:54:00:12:34:56:78", "5:54:00:12:34:56", ""] {
        assert_eq!(mac(bad), None, "{bad}");
    }
}
