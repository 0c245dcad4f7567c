//! What the Linux guests are made of: Debian's packages, unpacked in a cache folder and never
//! installed, our program on tokio and hyper, and the certificate of our image.

use crate::archive::Archive;
use crate::options::Options;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs};
use waitless_tests::lab;

/// Debian's kernel for clouds, a shell for the first program, and the second control.
const PACKAGES: [&str; 3] = ["linux-image-cloud-amd64", "busybox-static", "nginx"];

/// What makes a network card of virtio's on PCI; those they need are found.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Where all of this is kept between runs.
pub fn cache() -> PathBuf {
    let home = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cache");
    let base = env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    base.join("waitless/bench")
}

/// The program on tokio and hyper, for this machine's kernel or a guest's.
pub fn hyper() -> PathBuf {
    lab::target().join("linux/x86_64-unknown-linux-gnu/release/linux-webserver")
}

/// The Linux kernel of the guests.
pub fn kernel() -> PathBuf {
    cache().join("vmlinuz")
}

/// The first file system of the guest that runs `name`.
pub fn root(name: &str) -> PathBuf {
    cache().join(format!("{name}.cpio"))
}

/// The certificate that everyone shows, and its key: those for development, of this checkout.
pub fn certificate() -> Result<(PathBuf, PathBuf), String> {
    build::certificates::development(&lab::checkout().join("certs"), SystemTime::now())
}

/// Builds, fetches and packs what the options want.
pub fn prepare(options: &Options) -> Result<(), String> {
    let (certificate, key) = certificate()?;
    build_hyper()?;
    if options.native {
        // Where the process for a tap is built: it would make another one.
        let folder = lab::target().join("lab/checkout/certs");
        for file in [certificate, key] {
            let copy = folder.join(file.file_name().unwrap_or_default());
            lab::put_changed(&copy, &fs::read(file).map_err(text)?);
        }
        return Ok(());
    }
    let unpacked = cache().join("root");
    if !kernel().exists() {
        fetch(&unpacked)?;
        fs::copy(find(&unpacked.join("boot"), "vmlinuz-")?, kernel()).map_err(text)?;
    }
    let base = || {
        let mut archive = base(&unpacked)?;
        archive.copy("certificate.pem", &certificate)?;
        archive.copy("key.pem", &key)?;
        Ok::<_, String>(archive)
    };
    let mut archive = base()?;
    archive.copy("server", &hyper())?;
    archive.file("init", init("exec /server /certificate.pem /key.pem").as_bytes());
    fs::write(root("hyper"), archive.finish()).map_err(text)?;
    let mut archive = base()?;
    nginx(&mut archive, &unpacked)?;
    fs::write(root("nginx"), archive.finish()).map_err(text)
}

/// Statically linked, so that it runs in a guest that has nothing else.
fn build_hyper() -> Result<(), String> {
    let folder = lab::checkout().join("tests/bench/linux");
    let target = lab::target().join("linux");
    println!("building: the server on tokio, hyper and rustls");
    let arguments = ["build", "--quiet", "--release", "--target", "x86_64-unknown-linux-gnu"];
    let mut cargo = lab::cargo(&folder, &arguments);
    cargo.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "-C target-feature=+crt-static");
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("cargo cannot build tests/bench/linux".to_owned()),
    }
}

fn fetch(unpacked: &Path) -> Result<(), String> {
    let folder = cache().join("packages");
    fs::create_dir_all(&folder).map_err(text)?;
    println!("fetching into {}: {}", cache().display(), PACKAGES.join(", "));
    let meant = said(Command::new("apt-cache").args(["depends", PACKAGES[0]]))?;
    let kernel = meant.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let kernel = kernel.ok_or("apt-cache does not know the kernel of linux-image-cloud-amd64")?;
    let mut apt = Command::new("apt-get");
    apt.arg("download").arg(kernel).args(&PACKAGES[1..]).current_dir(&folder);
    said(&mut apt)?;
    for entry in fs::read_dir(&folder).map_err(text)? {
        let package = entry.map_err(text)?.path();
        said(Command::new("dpkg-deb").arg("-x").arg(package).arg(unpacked))?;
    }
    Ok(())
}

/// A shell and the modules of the network card.
fn base(unpacked: &Path) -> Result<Archive, String> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "tmp", "bin", "modules"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 5, 1);
    archive.device("dev/null", 1, 3);
    archive.copy("bin/busybox", &unpacked.join("bin/busybox"))?;
    let all = find(&unpacked.join("lib/modules"), "")?;
    let mut order = Vec::new();
    for module in MODULES {
        load_order(&all, module, &mut order)?;
    }
    for (name, file) in &order {
        archive.copy(&format!("modules/{name}"), file)?;
    }
    let names: Vec<_> = order.into_iter().map(|(name, _)| name).collect();
    archive.file("modules/order", names.join("\n").as_bytes());
    Ok(archive)
}

/// Adds `module` to `order`, behind what it depends on. What is built into the kernel has no file.
fn load_order(all: &Path, module: &str, order: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    if order.iter().any(|(name, _)| name == module) {
        return Ok(());
    }
    let Some(file) = find_deep(all, &format!("{}.ko", module.replace('-', "_"))) else {
        return Ok(());
    };
    let bytes = fs::read(&file).map_err(text)?;
    let mark = b"\0depends=";
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    let list = at.map(|at| &bytes[at + mark.len()..]).unwrap_or_default();
    let list = list.split(|byte| *byte == 0).next().unwrap_or_default();
    for needed in String::from_utf8_lossy(list).split(',').filter(|name| !name.is_empty()) {
        load_order(all, needed, order)?;
    }
    order.push((module.to_owned(), file));
    Ok(())
}

/// The first program of a guest: brings the network up, and becomes `what`.
fn init(what: &str) -> String {
    format!(
        "#!/bin/busybox sh\n\
         /bin/busybox mount -t proc none /proc\n\
         for module in $(/bin/busybox cat /modules/order); do\n\
         /bin/busybox insmod /modules/$module\n\
         done\n\
         /bin/busybox ip link set lo up\n\
         /bin/busybox ip address add $address dev eth0\n\
         /bin/busybox ip link set eth0 up\n\
         echo 65535 >/proc/sys/net/core/somaxconn\n\
         echo 65535 >/proc/sys/net/ipv4/tcp_max_syn_backlog\n\
         ulimit -n 1000000\n\
         {what}\n"
    )
}

fn nginx(archive: &mut Archive, unpacked: &Path) -> Result<(), String> {
    let program = unpacked.join("usr/sbin/nginx");
    archive.copy("bin/nginx", &program)?;
    for folder in ["lib", "lib/x86_64-linux-gnu", "lib64", "etc", "run", "var", "var/log"] {
        archive.folder(folder);
    }
    archive.folder("var/log/nginx");
    archive.folder("var/lib");
    archive.folder("var/lib/nginx");
    // What it is linked with, this machine's: the package that is unpacked here is of the same
    // distribution.
    let libraries = said(Command::new("ldd").arg(&program))?;
    for line in libraries.lines() {
        if line.contains("not found") {
            return Err(format!("nginx needs a library that this machine lacks: {}", line.trim()));
        }
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        if let Some(path) = path {
            archive.copy(path.trim_start_matches('/'), Path::new(path))?;
        }
    }
    archive.file("etc/passwd", b"root:x:0:0:root:/:/bin/sh\n");
    archive.file("etc/group", b"root:x:0:\n");
    archive.file("etc/nginx.conf", NGINX.as_bytes());
    archive.folder("srv");
    // Files in memory, sent with sendfile: what nginx is best at.
    for (name, bytes) in [("64k", 65_536), ("1m", 1 << 20)] {
        archive.file(&format!("srv/{name}"), &b"a".repeat(bytes));
    }
    archive.file("init", init("exec /bin/nginx -c /etc/nginx.conf").as_bytes());
    Ok(())
}

/// As its manual tunes it. A worker for each processor; logs nothing.
const NGINX: &str = r#"
daemon off;
user root;
worker_processes auto;
worker_rlimit_nofile 1000000;
error_log /dev/null crit;
pid /run/nginx.pid;
events { worker_connections 200000; multi_accept on; }
http {
    access_log off;
    server_tokens off;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    client_body_temp_path /tmp;
    proxy_temp_path /tmp;
    fastcgi_temp_path /tmp;
    uwsgi_temp_path /tmp;
    scgi_temp_path /tmp;
    open_file_cache max=100;
    ssl_certificate /certificate.pem;
    ssl_certificate_key /key.pem;
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519;
    ssl_session_cache shared:tls:16m;
    server {
        listen 80 backlog=65535;
        listen 443 ssl backlog=65535;
        location = /health {
            default_type application/json;
            return 200 '{"status":"ok"}';
        }
        location = /download {
            default_type application/octet-stream;
            root /srv;
            if ($arg_bytes = 65536) { rewrite ^ /64k break; }
            if ($arg_bytes = 1048576) { rewrite ^ /1m break; }
        }
    }
}
"#;

/// The entry of a folder whose name begins so.
fn find(folder: &Path, begin: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let begins = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(begin))
    };
    paths.find(begins).ok_or_else(|| format!("no {begin}… in {}", folder.display()))
}

/// A file called `name`, however deep.
fn find_deep(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).ok()?.flatten().collect();
    for entry in entries {
        let (path, found) = (entry.path(), entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if let Some(found) = find_deep(&path, name) {
                return Some(found);
            }
        } else if found.to_string_lossy().replace('-', "_") == name {
            return Some(path);
        }
    }
    None
}

/// What a program prints; an error when it fails.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
