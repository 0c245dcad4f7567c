//! What can go wrong around an image: it says so, and stays up where it can.

use crate::serve::Served;
use std::time::Duration;
use waitless_tests::lab::{Dhcp, Lab, Machine, Tap, curl};

pub fn no_card(lab: &Lab) {
    for machine in [Machine::new(), Machine::new().virt()] {
        no_card_in(lab, machine);
    }
}

fn no_card_in(lab: &Lab, machine: Machine) {
    let image = lab.images.image_for("webserver", machine.arch());
    let mut vm = machine.boot(&image);
    vm.expect("no virtio network card found");
    // Nobody can reach it, but it stays up.
    std::thread::sleep(Duration::from_secs(3));
    vm.assert_alive();
    let console = vm.console();
    assert!(!console.contains("panic") && !console.contains("cannot start"), "{console}");
}

pub fn no_address_server(lab: &Lab) {
    let tap = Tap::new();
    let mut vm = Machine::new().on(&tap).boot(&lab.images.image("webserver"));
    let said = |console: &str| console.to_ascii_lowercase().matches("no dhcp").count();
    waitless_tests::lab::wait_for("a word about DHCP", Duration::from_secs(90), || {
        vm.assert_alive();
        (said(&vm.console()) > 0).then_some(())
    });
    std::thread::sleep(Duration::from_secs(8));
    vm.assert_alive();
    assert_eq!(said(&vm.console()), 1, "once is enough:\n{}", vm.console());
    // A server that comes late is found.
    let _dhcp = Dhcp::on(&tap, &[]);
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 80);
}

pub fn little_memory(lab: &Lab) {
    for (arm, memory) in [(false, "8M"), (false, "6M"), (true, "8M"), (true, "6M")] {
        let machine = if arm { Machine::new().virt() } else { Machine::new() };
        let served = Served::boot(lab, "webserver", machine.memory(memory));
        let url = format!("http://{}/download?bytes=1000000", served.address);
        assert_eq!(curl(&["--fail", "-o", "/dev/null", "-w", "%{size_download}", &url]), "1000000");
    }
}

/// A handler that panics ends the machine: with a status, a message and where it happened.
pub fn panic(lab: &Lab) {
    panic_in(lab, Machine::new());
}

/// The same on Arm.
pub fn panic_on_arm(lab: &Lab) {
    panic_in(lab, Machine::new().virt());
}

fn panic_in(lab: &Lab, machine: Machine) {
    let image = crate::variants::ending(lab, machine.arch());
    let forward = crate::runner::free_port();
    let mut vm = machine.on_user_network(&[("tcp", forward, 80)]).boot(&image);
    vm.expect_http([127, 0, 0, 1].into(), forward);
    let mut connection = waitless_tests::lab::Connection::to([127, 0, 0, 1], forward);
    connection.send(b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n");
    let status = vm.expect_end();
    let console = vm.console();
    assert_eq!(status.code(), Some(3), "QEMU's status for an image that panicked:\n{console}");
    assert!(console.contains("panic: on request"), "{console}");
    assert!(console.contains("main.rs:"), "no location:\n{console}");
    let addresses = console.lines().filter(|line| line.trim().starts_with("at 0x")).count();
    assert!(addresses >= 2, "no backtrace:\n{console}");
}
