//! Whole images against real clients and servers.
//!
//! `cargo test -p waitless-tests --test image -- WORD` runs those whose name contains the word.

mod certificates;
mod cores;
mod failures;
mod gateway;
mod goodput;
mod hostile;
mod keys;
mod load;
mod machines;
mod matrix;
mod native;
mod router;
mod runner;
mod secure;
mod serve;
mod variants;

use std::process::ExitCode;
use waitless_tests::lab::{self, Arch, Need, Test, Variant};

/// QEMU's machines, of each architecture and of both.
const PC: Variant = Variant { platform: "qemu", arch: Some(Arch::X86_64) };
const VIRT: Variant = Variant { platform: "qemu", arch: Some(Arch::Aarch64) };
const BOTH: Variant = Variant { platform: "qemu", arch: None };
/// A CD.
const CD: Variant = Variant { platform: "iso", arch: Some(Arch::X86_64) };
/// Processes.
const NATIVE: Variant = Variant { platform: "native", arch: None };
const NATIVE_TAP: Variant = Variant { platform: "native-tap", arch: None };

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
/// The same by Limine.
const LIMINE: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("xorriso"),
    Need::Limine,
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
/// A process against clients of TLS.
const SECURE: &[Need] = &[
    Need::Program("curl"),
    Need::Program("openssl"),
    Need::Program("python3"),
    Need::Program("wrk"),
];
/// A machine against the same.
const SECURE_VM: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Program("curl"),
    Need::Program("openssl"),
    Need::Program("python3"),
    Need::Program("wrk"),
];
/// The same on Arm.
const SECURE_ARM: &[Need] = &[
    Need::Program("qemu-system-aarch64"),
    Need::Program("curl"),
    Need::Program("openssl"),
    Need::Program("python3"),
    Need::Program("wrk"),
];
/// A process between clients and servers.
const GATEWAY: &[Need] = &[Need::Program("curl"), Need::Program("nginx"), Need::Program("wrk")];
/// A process on two taps, and captures on both.
const ROUTER: &[Need] = &[
    Need::Tap,
    Need::Program("nsenter"),
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// A process beside the kernel's stack, on a path of ours.
const PATH: &[Need] = &[
    Need::Tap,
    Need::Program("nsenter"),
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("nginx"),
];
/// A process on a tap.
const PROCESS_ON_TAP: &[Need] =
    &[Need::Tap, Need::Program("dnsmasq"), Need::Program("curl"), Need::Program("wrk")];

fn main() -> ExitCode {
    let mut tests = vec![
        test("serve: every route answers", PC, CAPTURE, serve::every_route),
        test("serve: tshark finds nothing wrong", PC, CAPTURE, serve::referee),
        test("serve: every route answers on Arm", VIRT, ARM, serve::every_route_on_arm),
        test("serve: tshark finds nothing wrong on Arm", VIRT, ARM, serve::referee_on_arm),
        test("serve: keep-alive and pipelining", PC, NET, serve::keep_alive_and_pipelining),
        test("serve: hello", PC, NET, serve::hello),
        test("load: with the event index", PC, LOAD, load::with_event_index),
        test("load: without the event index", PC, LOAD, load::without_event_index),
        test("cores: four on one queue", PC, LOAD, cores::one_queue),
        test("cores: four on two queues", PC, LOAD, cores::fewer_queues),
        test("cores: two on four queues", PC, LOAD, cores::more_queues),
        test("cores: flows spread by the device", PC, LOAD, cores::receive_side_scaling),
        test("cores: a panic on another core", PC, NET, cores::panic_on_another),
        test("cores: the end on request", PC, NET, cores::end_on_request),
        test("cores: the end on request on Arm", VIRT, ARM, cores::end_on_request_on_arm),
        test("cores: the power button", PC, NET, cores::power_button),
        test("cores: the power button on Arm", VIRT, ARM, cores::power_button_on_arm),
        test("cores: two on Arm", VIRT, ARM, cores::on_arm),
        test("cores: a panic on another core on Arm", VIRT, ARM, cores::panic_on_another_on_arm),
        test("load: on Arm", VIRT, ARM, load::on_arm),
        test("hostile: malformed requests", PC, NET, hostile::requests),
        test("hostile: malformed frames", PC, NET, hostile::frames),
        test("hostile: slow clients", PC, NET, hostile::slow_clients),
        test("failures: no network card", BOTH, VM, failures::no_card),
        test("failures: no address server", PC, NET, failures::no_address_server),
        test("failures: little memory", BOTH, NET, failures::little_memory),
        test("failures: no entropy", PC, VM, machines::no_entropy),
        test("failures: a panic ends the machine", PC, VM, failures::panic),
        test("failures: a panic ends the machine on Arm", VIRT, ARM_VM, failures::panic_on_arm),
        test("variants: a static address", PC, NET, variants::static_address),
        test("variants: tables added to the manifest", PC, CAPTURE, variants::added_tables),
        test("keys: said at boot", PC, NET, keys::on_x86),
        test("keys: said at boot on Arm", VIRT, ARM, keys::on_arm),
        test("machines: pc", PC, NET, machines::pc),
        test("machines: microvm", PC, LOAD, machines::microvm),
        test("machines: an ISO by BIOS", CD, ISO, machines::iso_by_bios),
        test("machines: an ISO by UEFI", CD, ISO, machines::iso_by_uefi),
        test("machines: an ISO by Limine", CD, LIMINE, machines::iso_by_limine),
        test("machines: entropy of the hypervisor", PC, NET, machines::entropy_of_the_hypervisor),
        test("secure: HTTPS by a process", NATIVE, SECURE, secure::process),
        test("secure: HTTPS by an image", PC, SECURE_VM, secure::machine),
        test("secure: HTTPS by an image on Arm", VIRT, SECURE_ARM, secure::machine_on_arm),
        test("secure: a certificate is replaced", PC, SECURE_VM, certificates::replaced_under_load),
        test("native: host sockets", NATIVE, PROCESS, native::host_sockets),
        test("native: on a tap", NATIVE_TAP, PROCESS_ON_TAP, native::on_a_tap),
        test("native: a gateway", NATIVE, GATEWAY, gateway::before_nginx),
        test("native: a gateway to TLS", NATIVE, GATEWAY, gateway::before_nginx_by_tls),
        test("native: a router", NATIVE, ROUTER, router::between_two_networks),
        test("native: over IPv6", NATIVE_TAP, PROCESS_ON_TAP_CAPTURED, native::over_ipv6),
        test("runner: user network without root", PC, VM, runner::user_network),
        test("runner: a new app builds and boots", PC, VM, runner::new_app),
    ];
    tests.push(Test {
        on_demand: true,
        ..test("long: goodput beside the kernel's", NATIVE_TAP, PATH, goodput::beside_the_kernel)
    });
    tests.extend(matrix::tests());
    lab::main(&tests)
}

fn test(name: &str, of: Variant, needs: &'static [Need], run: fn(&lab::Lab)) -> Test {
    Test { of: Some(of), ..Test::new(name, needs, run) }
}
