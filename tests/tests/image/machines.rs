//! The same image on other machines than the usual one.

use crate::serve::Served;
use waitless_tests::lab::{Folder, Lab, Machine, UEFI, curl, make_iso, ping, run};

pub fn pc(lab: &Lab) {
    serves(&mut Served::boot(lab, "webserver", Machine::new().pc()));
}

/// No PCI, no ACPI: one line for everything that the card has to say.
pub fn microvm(lab: &Lab) {
    let mut served = Served::boot(lab, "webserver", Machine::new().microvm());
    serves(&mut served);
    let url = format!("http://{}/health", served.address);
    let wrk = run("wrk", &["-t1", "-c32", "-d3s", &url]);
    assert!(wrk.contains("Requests/sec") && !wrk.contains("errors"), "{wrk}");
    // It sleeps in between, and each request must wake it.
    for _ in 0..200 {
        assert_eq!(curl(&["--fail", "--max-time", "5", &url]), "{\"status\":\"ok\"}");
    }
    served.vm.assert_alive();
}

/// A processor without a generator, whose emulated time gives no noise either.
const NO_ENTROPY: &[&str] = &["-cpu", "qemu64,-rdrand", "-icount", "shift=4"];

pub fn entropy_of_the_hypervisor(lab: &Lab) {
    for (machine, device) in
        [(Machine::new(), "virtio-rng-pci"), (Machine::new().microvm(), "virtio-rng-device")]
    {
        let machine = machine.arguments(NO_ENTROPY).arguments(&["-device", device]);
        let mut served = Served::boot(lab, "webserver", machine);
        served.vm.expect("seeded from the hypervisor's entropy");
        serves(&mut served);
    }
}

pub fn no_entropy(lab: &Lab) {
    let mut vm = Machine::new().arguments(NO_ENTROPY).boot(&lab.images.image("webserver"));
    assert_eq!(vm.expect_end().code(), Some(5), "{}", vm.console());
    assert!(vm.console().contains("cannot start: no source of entropy"), "{}", vm.console());
}

pub fn iso_by_bios(lab: &Lab) {
    iso(lab, "grub", &[]);
}

pub fn iso_by_uefi(lab: &Lab) {
    iso(lab, "grub", UEFI);
}

pub fn iso_by_limine(lab: &Lab) {
    iso(lab, "limine", &[]);
    iso(lab, "limine", UEFI);
}

/// The image that other tests boot, on a CD; the command line is in the CD's menu.
fn iso(lab: &Lab, loader: &str, firmware: &[&str]) {
    let folder = Folder::new("iso");
    let file = folder.path().join("webserver.iso");
    let file = file.to_str().expect("a text path");
    make_iso(&lab.images.image("webserver"), loader, file);
    let machine = Machine::new().memory("128M").arguments(firmware).cdrom(file);
    let mut served = Served::boot(lab, "webserver", machine);
    served.vm.expect("debug virtio-pci: devices found: 1");
    serves(&mut served);
}

pub fn serves(served: &mut Served) {
    ping(served.address, 3, 1400);
    let url = format!("http://{}/download?bytes=1000000", served.address);
    assert_eq!(curl(&["--fail", "-o", "/dev/null", "-w", "%{size_download}", &url]), "1000000");
    served.vm.assert_alive();
}
