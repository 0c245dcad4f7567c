//! Whole images against real clients and servers.
//!
//! `cargo test -p waitless-tests --test image -- WORD` runs those whose name contains the word.

mod cores;
mod failures;
mod hostile;
mod load;
mod machines;
mod native;
mod runner;
mod serve;
mod variants;

use std::process::ExitCode;
use waitless_tests::lab::{self, Need, Test};

/// A machine on a tap, with an address server.
const NET: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
];
/// The same with a capture.
const CAPTURE: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// The same with a load generator.
const LOAD: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("wrk"),
];
/// A machine that boots from a CD.
const ISO: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("grub-mkrescue"),
    Need::Program("xorriso"),
];
/// On Arm, with all that a test needs on a network.
const ARM: &[Need] = &[
    Need::Program("qemu-system-aarch64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
    Need::Program("wrk"),
];
/// A machine without a network of ours.
const VM: &[Need] = &[Need::Program("qemu-system-x86_64"), Need::Program("curl")];
/// The same on Arm.
const ARM_VM: &[Need] = &[Need::Program("qemu-system-aarch64"), Need::Program("curl")];
/// A process.
const PROCESS: &[Need] = &[Need::Program("curl")];
/// The same with a capture, over IPv6 too.
const PROCESS_ON_TAP_CAPTURED: &[Need] = &[
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// A process on a tap.
const PROCESS_ON_TAP: &[Need] =
    &[Need::Tap, Need::Program("dnsmasq"), Need::Program("curl"), Need::Program("wrk")];

fn main() -> ExitCode {
    lab::main(&[
        test("serve: every route answers", CAPTURE, serve::every_route),
        test("serve: tshark finds nothing wrong", CAPTURE, serve::referee),
        test("serve: every route answers on Arm", ARM, serve::every_route_on_arm),
        test("serve: tshark finds nothing wrong on Arm", ARM, serve::referee_on_arm),
        test("serve: keep-alive and pipelining", NET, serve::keep_alive_and_pipelining),
        test("serve: hello", NET, serve::hello),
        test("load: with the event index", LOAD, load::with_event_index),
        test("load: without the event index", LOAD, load::without_event_index),
        test("cores: four on one queue", LOAD, cores::one_queue),
        test("cores: four on two queues", LOAD, cores::fewer_queues),
        test("cores: two on four queues", LOAD, cores::more_queues),
        test("cores: flows spread by the device", LOAD, cores::receive_side_scaling),
        test("cores: a panic on another core", NET, cores::panic_on_another),
        test("cores: two on Arm", ARM, cores::on_arm),
        test("cores: a panic on another core on Arm", ARM, cores::panic_on_another_on_arm),
        test("load: on Arm", ARM, load::on_arm),
        test("hostile: malformed requests", NET, hostile::requests),
        test("hostile: malformed frames", NET, hostile::frames),
        test("hostile: slow clients", NET, hostile::slow_clients),
        test("failures: no network card", VM, failures::no_card),
        test("failures: no address server", NET, failures::no_address_server),
        test("failures: little memory", NET, failures::little_memory),
        test("failures: no entropy", VM, machines::no_entropy),
        test("failures: a panic ends the machine", VM, failures::panic),
        test("failures: a panic ends the machine on Arm", ARM_VM, failures::panic_on_arm),
        test("variants: a static address", NET, variants::static_address),
        test("variants: tables added to the manifest", CAPTURE, variants::added_tables),
        test("machines: pc", NET, machines::pc),
        test("machines: microvm", LOAD, machines::microvm),
        test("machines: an ISO by BIOS", ISO, machines::iso_by_bios),
        test("machines: an ISO by UEFI", ISO, machines::iso_by_uefi),
        test("machines: an ISO by Limine", ISO, machines::iso_by_limine),
        test("machines: entropy of the hypervisor", NET, machines::entropy_of_the_hypervisor),
        test("native: host sockets", PROCESS, native::host_sockets),
        test("native: on a tap", PROCESS_ON_TAP, native::on_a_tap),
        test("native: over IPv6", PROCESS_ON_TAP_CAPTURED, native::over_ipv6),
        test("runner: user network without root", VM, runner::user_network),
        test("runner: a new app builds and boots", VM, runner::new_app),
    ])
}

fn test(name: &'static str, needs: &'static [Need], run: fn(&lab::Lab)) -> Test {
    Test { name, needs, run }
}
