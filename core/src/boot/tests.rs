//! Words and values, good and bad.

extern crate std;

use super::*;
use crate::log::{Log, Sink};
use crate::{Protocol, Random, testing};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::sync::Mutex;

/// Three who may say something; what the last one says is for this image alone.
struct Told([&'static str; 3]);

impl Platform for Told {
    fn name(&self) -> &'static str {
        "test"
    }

    fn said_at_boot(&self, index: usize) -> Option<Said<'_>> {
        let by = ["the device tree", "the command line", "fw_cfg"];
        let words = *self.0.get(index)?;
        Some(Said { by: by[index], words, shared: index == 1, cut: words.len() > 200 })
    }
}

/// Keeps what is written.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn write(&self, line: core::fmt::Arguments<'_>) {
        self.0.lock().unwrap().push(line.to_string());
    }
}

fn context(core: usize, said: [&'static str; 3]) -> (Context, &'static Heard) {
    let heard: &'static Heard = Box::leak(Box::default());
    let quiet = testing::context(0, 0);
    let platform = Box::leak(Box::new(Told(said)));
    let log = Log::new(Level::Info, heard);
    let random = Random::new([0; 32]);
    (Context::new(core, quiet.pool(), random, log, platform, quiet.system()), heard)
}

/// The port that comes of what is said, and what is written about it.
fn port(said: [&'static str; 3]) -> (u16, Vec<String>) {
    let (cx, heard) = context(0, said);
    let mut port = 80;
    set(&cx, "http.port", &mut port, "a number in 1..=65535", number(1, 65_535));
    (port, heard.0.lock().unwrap().clone())
}

#[test]
fn a_pinned_service_moves_with_its_port() {
    const PINS: &[Pin] = &[
        Pin { protocol: Protocol::UDP, port: 7, key: None, core: 2 },
        Pin { protocol: Protocol::TCP, port: 80, key: Some("http.port"), core: 1 },
    ];
    let ports = |said| {
        let pins = pins(&context(1, ["", said, ""]).0, PINS);
        assert_eq!((pins[0].port, pins[1].core, pins[1].protocol), (7, 1, Protocol::TCP));
        pins[1].port
    };
    assert_eq!(ports("http.port=81"), 81);
    for said in ["", "http.port=0", "http.port=x", "https.port=81"] {
        assert_eq!(ports(said), 80, "{said}");
    }
}

#[test]
fn what_was_said_last_counts_and_what_does_not_fit_changes_nothing() {
    let line = |said| port(["", said, ""]).0;
    assert_eq!(line("http.port=81"), 81);
    assert_eq!(line("http.port=81 log=debug http.port=82 https.port=443"), 82);
    for said in ["", "http.port", "port=81", "http.port=", "http.port=0", "http.port=65536"] {
        assert_eq!(line(said), 80, "{said}");
    }
}

#[test]
fn who_starts_the_machine_goes_before_the_loader_and_that_before_the_device_tree() {
    let [tree, line, file] = ["http.port=81", "http.port=82", "http.port=83"];
    for (said, expected, by) in [
        ([tree, line, file], 83, "fw_cfg"),
        ([tree, line, ""], 82, "the command line"),
        ([tree, "log=debug", "ip4.ttl=1"], 81, "the device tree"),
    ] {
        let (port, heard) = port(said);
        assert_eq!(port, expected);
        assert!(heard[0].contains(&std::format!("http.port is {expected}, by {by}")), "{heard:?}");
    }
    // The last word for it is no port: no earlier one takes its place.
    let (port, heard) = port([tree, line, "http.port=99999"]);
    assert_eq!(port, 80);
    let expected = "fw_cfg says http.port=99999; expected a number in 1..=65535: the manifest's";
    assert!(heard[0].contains(expected), "{heard:?}");
}

/// What is written about words that are said, where `http.port` is the only key.
fn checked(said: [&'static str; 3]) -> Vec<String> {
    let (cx, heard) = context(0, said);
    check(&cx, &["http.port"]);
    heard.0.lock().unwrap().clone()
}

#[test]
fn what_is_no_key_is_told_unless_it_can_be_somebody_else_s() {
    for line in ["quiet console=ttyS0 i8042.noaux log=debug", "virtio_mmio.device=512@0x10:12"] {
        assert!(checked(["", line, ""]).is_empty(), "{line}");
    }
    assert!(checked(["http.port=81", "", "log=debug http.port=1"]).is_empty());
    for (said, expected) in [
        (["", "htpp.port=81", ""], "the command line says htpp.port, which is no key"),
        (["", "http.port", ""], "the command line says http.port without a value"),
        (["", "", "quiet"], "fw_cfg says quiet, which is no key"),
        (["", "", "http.port=1 port=81"], "fw_cfg says port, which is no key"),
        (["", "", "log"], "fw_cfg says log without a value"),
        (["http.port", "", ""], "the device tree says http.port without a value"),
    ] {
        let heard = checked(said);
        assert!(heard.len() == 1 && heard[0].contains(expected), "{said:?}: {heard:?}");
    }
    let long = "http.port=81 ".repeat(20);
    let long: &'static str = Box::leak(long.into_boxed_str());
    assert!(checked(["", "", long])[0].contains("fw_cfg says more than fits"));
}

#[test]
fn only_the_first_core_speaks() {
    let (cx, heard) = context(1, ["", "http.port=81 a.b=1", "nonsense"]);
    let mut port = 80;
    set(&cx, "http.port", &mut port, "a port", number(1, 65_535));
    check(&cx, &["http.port"]);
    assert_eq!(port, 81);
    assert!(heard.0.lock().unwrap().is_empty());
}

#[test]
fn a_level_that_is_none_is_told_and_the_usual_one_stays() {
    assert_eq!(level(&Told(["", "", ""])), Ok(None));
    assert_eq!(level(&Told(["log=warn", "log=debug", "a.b=1"])), Ok(Some(Level::Debug)));
    let told = Told(["", "log=loud", ""]);
    assert_eq!(level(&told), Err(("loud", "the command line")));
    let (cx, heard) = context(0, ["", "", ""]);
    refuse_level(&cx, ("loud", "the command line"), Level::Info);
    let expected = "the command line says log=loud; expected error, warn, info, debug or trace: \
                    it stays info";
    assert!(heard.0.lock().unwrap()[0].contains(expected));
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
