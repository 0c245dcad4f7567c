//! The command lines of runners, and what their ends mean.

use super::*;
use crate::project::Project;
use clap::Parser;
use hvf::Host;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Parser, Debug)]
struct Only {
    #[command(flatten)]
    run: Run,
}

fn parse(arguments: &str) -> Run {
    Only::parse_from(std::iter::once("run").chain(arguments.split_whitespace())).run
}

/// The tree, opened once for a test: that takes a run of cargo.
struct Tree(Project);

impl Tree {
    fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Self(Project::open(root).unwrap())
    }

    /// The commands of `run ARGUMENTS`, for an image that is there, with the tree's own folder and
    /// what differs between machines left out.
    fn commands(&mut self, arguments: &str) -> Result<Vec<String>, String> {
        // One for each call: tests run beside each other.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("waitless-run-{process}-{number}"));
        fs::create_dir_all(&folder).unwrap();
        let image = folder.join("webserver.img");
        // As much of an image as is looked at.
        fs::write(&image, [&[0; 56][..], b"ARM\x64"].concat()).unwrap();
        let run = parse(arguments);
        let project = &mut self.0;
        project.set_arch(run.which.arch.clone());
        let app = run.which.app.as_deref().unwrap_or("webserver");
        let graph = project.graph(app, &run.which.platform).unwrap();
        let services = services::services(&graph, &run.ports, &run.set);
        let commands =
            services.and_then(|services| run.commands(project, &image, &graph, &services));
        fs::remove_dir_all(&folder).unwrap();
        let commands = commands?;
        let (image, workspace) = (image.display().to_string(), &project.workspace);
        let (home, target) = (workspace.home.display(), workspace.target.display());
        let places = [(image, "IMAGE"), (target.to_string(), "target"), (home.to_string(), "home")];
        let text = |command: &Command| {
            let line = line(command).replace(" -bios qboot.rom", "");
            places.iter().fold(line, |line, (place, name)| line.replace(place, name))
        };
        Ok(commands.iter().map(text).collect())
    }

    /// The last of them.
    fn last(&mut self, arguments: &str) -> String {
        self.commands(arguments).unwrap().pop().unwrap()
    }
}

#[test]
fn the_runner_for_apple_silicon_is_built_signed_and_started() {
    let expected = [
        "cargo build --release --package hvf-runner --target-dir target",
        "codesign --sign - --force --entitlements home/platforms/hvf/entitlements.plist \
         target/release/hvf-runner",
        "target/release/hvf-runner --cores 4 --memory 64M --tcp 8080:80 \
         --tcp 8443:443 --udp 7007:7 IMAGE",
    ];
    let mut tree = Tree::open();
    assert_eq!(tree.commands("--platform hvf --cores 4 --memory 64M").unwrap(), expected);
    assert_eq!(
        tree.last("--platform hvf --arch aarch64 --udp-port 7 --set http.port=81 --set tcp.ttl=3"),
        "target/release/hvf-runner --cores 1 --memory 128M --tcp 8081:81 --tcp 8443:443 \
         --udp 7:7 --append 'http.port=81 tcp.ttl=3' IMAGE"
    );
}

#[test]
fn qemu_uses_apple_s_framework_where_that_is_wanted() {
    assert_eq!(
        Tree::open().commands("--platform hvf --runner qemu --cores 2").unwrap(),
        ["qemu-system-aarch64 -machine virt,gic-version=3 -accel hvf -cpu host -m 128M -smp 2 \
          -kernel IMAGE -nodefaults -display none -serial stdio -no-reboot \
          -netdev user,id=n0,hostfwd=tcp:127.0.0.1:8080-:80,\
          hostfwd=tcp:127.0.0.1:8443-:443,hostfwd=udp:127.0.0.1:7007-:7 \
          -global virtio-mmio.force-legacy=false -device virtio-net-device,netdev=n0 \
          -device virtio-rng-device"]
    );
}

#[test]
fn qemu_emulates_what_the_image_is_for() {
    let mut tree = Tree::open();
    assert_eq!(
        tree.commands("--platform qemu --http-port 80 --set http.port=8000").unwrap(),
        ["qemu-system-x86_64 -machine q35 -accel tcg -cpu max -m 128M -kernel IMAGE \
          -append http.port=8000 -device isa-debug-exit,iobase=0xf4,iosize=0x04 -nodefaults \
          -display none -serial stdio -no-reboot \
          -netdev user,id=n0,hostfwd=tcp:127.0.0.1:80-:8000,\
          hostfwd=tcp:127.0.0.1:8443-:443,hostfwd=udp:127.0.0.1:7007-:7 \
          -device virtio-net-pci,netdev=n0,romfile="]
    );
    assert_eq!(
        tree.commands("--arch aarch64 --nic virtio-mmio --net tap").unwrap(),
        ["qemu-system-aarch64 -machine virt,gic-version=3 -accel tcg \
          -cpu max,pauth-impdef=on -m 128M -kernel IMAGE -semihosting -nodefaults \
          -display none -serial stdio -no-reboot \
          -netdev tap,id=n0,ifname=waitless0,script=no,downscript=no \
          -global virtio-mmio.force-legacy=false -device virtio-net-device,netdev=n0"]
    );
}

#[test]
fn a_machine_has_a_card_for_each_of_the_graph() {
    let mut tree = Tree::open();
    let user = tree.last("--app router");
    let networks = "-netdev user,id=n0 -netdev user,id=n1,net=192.168.77.1/24,\
        host=192.168.77.2,hostfwd=tcp:127.0.0.1:8080-192.168.77.1:80 \
        -device virtio-net-pci,netdev=n0,romfile= -device virtio-net-pci,netdev=n1,romfile=";
    assert!(user.ends_with(networks), "{user}");
    let taps = tree.last("--app router --net tap --tap one,two");
    assert!(taps.contains("id=n0,ifname=one,") && taps.contains("id=n1,ifname=two,"), "{taps}");
    assert!(tree.commands("--app router --machine microvm").is_err());
    let run = parse("--app router --net tap --tap one");
    let graph = tree.0.graph("router", "qemu").unwrap();
    let cards = cards::cards(&graph);
    assert!(run.taps(&graph, Runner::Qemu, &cards).is_err(), "each card has a device");
    let graph = tree.0.graph("router", "native").unwrap();
    let taps = run.taps(&graph, Runner::Nothing, &cards::cards(&graph));
    assert_eq!(taps.unwrap(), ["waitless0", "waitless1"], "the components'");
    let hosts: Vec<_> = cards.iter().map(Card::host).collect();
    assert_eq!(hosts, [None, Some((Ipv4Addr::new(192, 168, 77, 2), 24))]);
}

#[test]
fn a_microvm_with_several_cores_has_the_tables_that_list_them() {
    let mut tree = Tree::open();
    for (arguments, machine) in [
        ("--machine microvm", "-machine microvm,acpi=off "),
        ("--machine microvm --cores 2", "-machine microvm,acpi=on "),
    ] {
        let line = tree.last(arguments);
        assert!(line.contains(machine), "{line}");
    }
}

#[test]
fn what_does_not_go_together_is_said_before_anything_is_built() {
    let mut tree = Tree::open();
    for (arguments, part) in [
        ("--platform hvf --net tap", "leave out --net tap"),
        ("--platform hvf --kvm", "without --kvm"),
        ("--platform hvf --cpu max", "--cpu is for QEMU: add --runner qemu"),
        ("--platform hvf --nic virtio-mmio", "--nic is for QEMU"),
        ("--platform hvf --qemu-arg=-s", "--qemu-arg is for QEMU"),
        ("--platform hvf --runner qemu --nic virtio-pci", "has no virtio-pci here"),
        ("--platform hvf --runner qemu --machine q35", "it is for `virt`"),
        ("--runner qemu", "add --platform hvf"),
        ("--platform native --machine pc", "--machine is for a virtual machine, and `native`"),
        ("--platform native --kvm", "--kvm is for a virtual machine"),
        ("--platform native --memory 64M", "--memory is for a virtual machine"),
        ("--firmware uefi", "--firmware is for the platform iso"),
        ("--platform hvf --firmware bios", "--firmware is for the platform iso"),
        ("--net tap --http-port 8081", "leave it out"),
        ("--app hello --https-port 8081", "--https-port 8081 leads to nothing"),
        ("--platform native --runner hvf-runner", "add --platform hvf"),
        ("--http-port 7777 --set http.port=81 --udp-port 7777", ""),
    ] {
        match tree.commands(arguments) {
            Ok(_) => assert_eq!(part, "", "{arguments}"),
            Err(why) => assert!(!part.is_empty() && why.contains(part), "{arguments}: {why}"),
        }
    }
}

#[test]
fn what_is_known_of_a_machine_is_said_without_an_image() {
    let mut tree = Tree::open();
    for (arguments, part) in [
        ("--dry-run", ""),
        ("--dry-run --machine virt", "is not for the machine `virt`"),
        ("--dry-run --machine q35 --nic virtio-mmio", "has no virtio-mmio here"),
        ("--dry-run --platform iso --machine microvm", "has nothing to boot an ISO from"),
    ] {
        let run = parse(arguments);
        let graph = tree.0.graph("webserver", &run.which.platform).unwrap();
        let said = qemu::fits(&run, &graph).err().unwrap_or_default();
        assert!(said.contains(part) && said.is_empty() == part.is_empty(), "{arguments}: {said}");
    }
}

#[test]
fn memory_is_given_as_qemu_takes_it() {
    let mut tree = Tree::open();
    for (given, memory) in [("64MiB", "64M"), ("64", "64M"), ("65537K", "65537K"), ("1g", "1024M")]
    {
        let line = tree.last(&format!("--memory {given}"));
        assert!(line.contains(&format!(" -m {memory} ")), "{given}: {line}");
    }
}

#[test]
fn services_of_two_networks_have_a_port_of_this_machine_each() {
    let mut tree = Tree::open();
    let mut graph = tree.0.graph("router", "qemu").unwrap();
    let http = graph.instances.iter().position(|it| it.name == "http").unwrap();
    let mut again = graph.instances[http].clone();
    again.name = "other".to_owned();
    let first = graph.instances.iter().position(cards::is_card).unwrap();
    // It need not be sound: only what it stands on is looked at, and the port.
    again.below[0].to = first;
    graph.instances.push(again);
    let found = services::services(&graph, &Ports::default(), &[]).unwrap();
    let ports: Vec<_> = found.iter().map(|it| (it.inside, it.outside, it.card)).collect();
    assert_eq!(ports, [(80, 8080, 1), (80, 8081, 0)]);
}

#[test]
fn a_port_of_this_machine_has_a_number() {
    for option in ["--http-port", "--https-port", "--udp-port"] {
        assert!(Only::try_parse_from(["run", option, "0"]).is_err(), "{option}");
        assert!(Only::try_parse_from(["run", option, "1"]).is_ok(), "{option}");
    }
}

#[test]
fn only_macos_on_apple_silicon_has_the_framework() {
    assert_eq!(hvf::is_on(Host { system: "macos", arch: "aarch64" }), Ok(()));
    for (system, arch) in [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "x86_64")] {
        let why = hvf::is_on(Host { system, arch }).unwrap_err();
        assert!(why.contains(&format!("this is {system} on {arch}; next: `make run")), "{why}");
    }
}

#[test]
fn an_older_macos_is_told_so_before_anything_is_signed() {
    for version in ["15.0\n", "26.4.1\n", "", "?"] {
        assert_eq!(hvf::is_new_enough(version), Ok(()), "{version}");
    }
    let why = hvf::is_new_enough("14.7.1\n").unwrap_err();
    assert!(why.contains("takes macOS 15, and this is 14.7.1; next: update macOS"), "{why}");
}

#[test]
fn ports_follow_what_is_set_at_boot() {
    let mut tree = Tree::open();
    let mut forwards = |arguments: &str| {
        let line = tree.last(arguments);
        let words = line.split(' ').map(str::to_owned);
        words.filter(|word| word.contains(':')).collect::<Vec<_>>().join(" ")
    };
    for (words, expected) in [
        ("", "8080:80 8443:443 7007:7"),
        ("--set http.port=81", "8081:81 8443:443 7007:7"),
        ("--set http.port=8081", "8081:8081 8443:443 7007:7"),
        ("--http-port 9000 --set http.port=8081", "9000:8081 8443:443 7007:7"),
        ("--set http.port=81 --set http.port=82", "8082:82 8443:443 7007:7"),
        // What the image does not take, it says, and stays where it was.
        ("--set http.port=82 --set http.port=0", "8080:80 8443:443 7007:7"),
        ("--set http.port=65536", "8080:80 8443:443 7007:7"),
        ("--set echo.port=9", "8080:80 8443:443 7007:7"),
        ("--set site.port=9", "8080:80 8443:443 7007:7"),
    ] {
        assert_eq!(forwards(&format!("--platform hvf {words}")), expected, "{words}");
    }
    let native = tree.last("--platform native --set http.port=81");
    assert_eq!(native, "IMAGE --set http.port=81 --ports 81/tcp=8081,443/tcp=8443,7/udp=7007");
}

#[test]
fn the_status_of_an_image_is_passed_on() {
    use Runner::{Hvf, Nothing, Qemu};
    for (code, runner, status, part) in [
        (Some(0), Hvf, 0, ""),
        (Some(1), Hvf, 1, "was stopped"),
        (Some(2), Hvf, 2, "could not be started"),
        (Some(3), Hvf, 3, "panicked"),
        (Some(5), Hvf, 5, "could not start"),
        (Some(1), Qemu, 1, "QEMU failed"),
        (Some(3), Qemu, 3, "panicked"),
        (Some(3), Nothing, 3, "ended with status 3"),
        (Some(-1), Nothing, 1, "ended with status -1"),
        (None, Hvf, 1, "by a signal"),
    ] {
        let (passed, why) = meaning(code, "a signal", runner);
        assert_eq!(passed, status, "{code:?} {runner:?}");
        assert!(why.unwrap_or_default().contains(part), "{code:?} {runner:?}");
    }
}
