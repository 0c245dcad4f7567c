//! Certificates in manifests: what is embedded, and everything that can be wrong with files.

mod common;

use build::catalogue::Code;
use build::certificates::{Chain, PrivateKey, make};
use build::staples::Staple;
use common::project;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::der::Decode;

const DAY: Duration = Duration::from_secs(86_400);

/// A folder for certificates, and a certificate of `days` in it.
fn files(folder: &Path, name: &str, from: SystemTime, days: u32) {
    fs::create_dir_all(folder).unwrap();
    let (pem, key) = make(&[name], from, DAY * days).unwrap();
    fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
    fs::write(folder.join(format!("{name}.key")), key).unwrap();
}

/// What the generator says of a manifest whose instance `tls` has these lines.
fn said(test: &str, keys: &str, prepare: impl Fn(&Path)) -> Result<build::graph::Graph, String> {
    let manifest = format!(
        "[app]\ncrate = \"web\"\nstacks = [\"tcp\"]\n\n\
         [tls]\nis = \"secure\"\non = \"tcp\"\n{keys}\n\n\
         [http]\nis = \"http1\"\non = \"tls\"\nport = 443\n\n[site]\non = [\"http\"]\n"
    );
    let mut project = project(&format!("certificates-{test}"), &manifest);
    let app = project.workspace.package("web").unwrap().folder().to_owned();
    prepare(&app.join("certs"));
    project.graph("web", "qemu")
}

#[test]
fn a_certificate_and_its_key_are_embedded() {
    let keys = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"";
    let graph = said("good", keys, |folder| files(folder, "one", SystemTime::now(), 90)).unwrap();
    let names: Vec<_> = graph.blobs.iter().map(|blob| blob.name.as_str()).collect();
    assert_eq!(names, ["tls.0.0.certificate", "tls.0.key"]);
    assert_eq!((graph.read.len(), graph.warnings.len()), (2, 0));
    let chain = Chain::read(&graph.blobs[0].bytes, SystemTime::now()).unwrap();
    assert_eq!(chain.names, ["one"]);
    assert!(chain.belongs_to(&PrivateKey::read(&graph.blobs[1].bytes).unwrap()));
    let tls = graph.find("tls").unwrap();
    assert!(tls.config[0].expression.contains("names: &[\"one\"]"), "{}", tls.config[0].expression);
}

#[test]
fn one_that_expires_soon_is_warned_of() {
    let keys = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"";
    let graph = said("soon", keys, |folder| files(folder, "one", SystemTime::now(), 13)).unwrap();
    assert_eq!(graph.warnings.len(), 1);
    assert!(graph.warnings[0].contains("expires in 12 days"), "{}", graph.warnings[0]);
}

#[test]
fn one_whose_key_is_not_for_signatures_is_warned_of() {
    let keys = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"";
    let graph = said("usage", keys, |folder| {
        files(folder, "one", SystemTime::now(), 90);
        let path = folder.join("one.pem");
        let chain = Chain::read(&fs::read(&path).unwrap(), SystemTime::now()).unwrap();
        let mut der = chain.certificates[0].clone();
        // Bits of a KeyUsage: digitalSignature becomes keyEncipherment.
        let at = der.windows(4).position(|bits| bits == [3, 2, 7, 0x80]).unwrap();
        der[at..at + 4].copy_from_slice(&[3, 2, 5, 0x20]);
        fs::write(path, der).unwrap();
    });
    let warnings = graph.unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("digitalSignature"), "{}", warnings[0]);
}

#[test]
fn what_is_wrong_is_said() {
    let one = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"";
    let two = "certificate = [\"certs/one.pem\"]\nkey = [\"certs/one.key\", \"certs/one.key\"]";
    let long_ago = UNIX_EPOCH + DAY * 10_000;
    let later = SystemTime::now() + DAY;
    type Prepare<'a> = &'a dyn Fn(&Path);
    let good: Prepare<'_> = &|folder| files(folder, "one", SystemTime::now(), 90);
    let cases: [(&str, &str, Prepare<'_>, &str); 9] = [
        ("absent", one, &|_| {}, "cannot read `apps/web/certs/one.pem`"),
        ("expired", one, &|folder| files(folder, "one", long_ago, 90), "expired at"),
        ("early", one, &|folder| files(folder, "one", later, 90), "is not good before"),
        ("count", two, good, "there are 2 private keys for 1 certificates"),
        ("no-key", "certificate = \"certs/one.pem\"", good, "`tls` needs `key`"),
        ("number", "certificate = 1\nkey = \"x\"", good, "this is no file, nor a list of them"),
        ("development", "key = \"certs/one.key\"", good, "has a key of its own"),
        (
            "another",
            one,
            &|folder| {
                files(folder, "two", SystemTime::now(), 90);
                files(folder, "one", SystemTime::now(), 90);
                fs::copy(folder.join("two.key"), folder.join("one.key")).unwrap();
            },
            "is not the key of the certificate",
        ),
        (
            "order",
            one,
            &|folder| {
                files(folder, "two", SystemTime::now(), 90);
                files(folder, "one", SystemTime::now(), 90);
                let both = ["one.pem", "two.pem"].map(|n| fs::read(folder.join(n)).unwrap());
                fs::write(folder.join("one.pem"), both.concat()).unwrap();
            },
            "certificate 2 did not issue certificate 1",
        ),
    ];
    for (test, keys, prepare, expected) in cases {
        match said(test, keys, prepare) {
            Ok(_) => panic!("{test}: nothing was said"),
            Err(text) => assert!(text.contains(expected), "{test}: {text}"),
        }
    }
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = match content.len() {
        short @ 0..0x80 => vec![short as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], &length[..], &content].concat()
}

/// An OCSP response that says `status` of the certificate in the file `name`, until `until`, by
/// nobody: signatures are the clients' to check.
fn response(folder: &Path, name: &str, status: &[u8], until: &str) -> Vec<u8> {
    let pem = fs::read(folder.join(format!("{name}.pem"))).unwrap();
    let chain = Chain::read(&pem, SystemTime::now()).unwrap();
    let own = x509_cert::Certificate::from_der(&chain.certificates[0]).unwrap();
    let serial = tlv(0x02, &[own.tbs_certificate().serial_number().as_bytes()]);
    let time = |text: &str| tlv(0x18, &[text.as_bytes()]);
    let hash = tlv(0x30, &[&tlv(0x06, &[&[0x2b, 14, 3, 2, 26]])]);
    let id = tlv(0x30, &[&hash, &tlv(0x04, &[&[1; 20]]), &tlv(0x04, &[&[2; 20]]), &serial]);
    let next = match until {
        "" => Vec::new(),
        until => tlv(0xa0, &[&time(until)]),
    };
    let single = tlv(0x30, &[&id, status, &time("20200101000000Z"), &next]);
    let who = tlv(0xa2, &[&tlv(0x04, &[&[3; 20]])]);
    let data = tlv(0x30, &[&who, &time("20200101000000Z"), &tlv(0x30, &[&single])]);
    let basic = tlv(0x30, &[&data, &tlv(0x30, &[]), &tlv(0x03, &[&[0]])]);
    let kind = tlv(0x06, &[&[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]]);
    let bytes = tlv(0x30, &[&kind, &tlv(0x04, &[&basic])]);
    tlv(0x30, &[&tlv(0x0a, &[&[0]]), &tlv(0xa0, &[&bytes])])
}

const GOOD: &[u8] = &[0x80, 0];

/// Two certificates, and what `said` says of the first.
fn stapled(folder: &Path, said: impl Fn(&Path) -> Vec<u8>) {
    files(folder, "one", SystemTime::now(), 90);
    files(folder, "two", SystemTime::now(), 90);
    fs::write(folder.join("one.ocsp"), said(folder)).unwrap();
}

#[test]
fn what_issuers_say_is_embedded() {
    let keys = "certificate = [\"certs/one.pem\", \"certs/two.pem\"]\n\
                key = [\"certs/one.key\", \"certs/two.key\"]\n\
                ocsp = [\"certs/one.ocsp\", \"none\"]";
    for (test, until, seconds, warnings) in [
        ("ocsp", "21000101000000Z", "4102444800", 0),
        ("ocsp-old", "20210101000000Z", "1609459200", 1),
        ("ocsp-endless", "", "u64::MAX", 0),
    ] {
        let prepare = |folder: &Path| stapled(folder, |it| response(it, "one", GOOD, until));
        let graph = said(test, keys, prepare).unwrap();
        let blob = graph.blobs.iter().find(|blob| blob.name == "tls.0.ocsp").unwrap();
        assert_eq!(blob.bytes[0], 0x30);
        let tls = graph.find("tls").unwrap();
        let expressions = tls.config.iter().map(|setting| setting.expression.as_str());
        let staples = expressions.filter(|it| it.contains("tls.0.ocsp")).collect::<Vec<_>>();
        let [staples] = staples[..] else { panic!("{test}: {staples:?}") };
        assert!(staples.starts_with("Some(&[Some(secure::Staple { response: "), "{staples}");
        assert!(staples.ends_with(&format!("until: {seconds} }}), None])")), "{staples}");
        assert_eq!(graph.warnings.len(), warnings, "{:?}", graph.warnings);
    }
    // Without the key there is nothing.
    let keys = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"";
    let graph = said("ocsp-none", keys, |it| files(it, "one", SystemTime::now(), 90)).unwrap();
    let tls = graph.find("tls").unwrap();
    assert!(tls.config.iter().any(|setting| setting.expression == "None"));
}

#[test]
fn what_is_wrong_with_what_issuers_say_is_said() {
    let one = "certificate = \"certs/one.pem\"\nkey = \"certs/one.key\"\nocsp = ";
    type Said<'a> = &'a dyn Fn(&Path) -> Vec<u8>;
    let good: Said<'_> = &|folder| response(folder, "one", GOOD, "21000101000000Z");
    let revoked: Said<'_> = &|folder| {
        let revoked = tlv(0xa1, &[&tlv(0x18, &[b"20200101000000Z"])]);
        response(folder, "one", &revoked, "21000101000000Z")
    };
    let cases: [(&str, &str, Said<'_>, &str); 9] = [
        ("ocsp-absent", "\"certs/x\"", good, "cannot read `apps/web/certs/x`"),
        ("ocsp-count", "[\"certs/one.ocsp\", \"none\"]", good, "are 2 OCSP responses for 1 cert"),
        ("ocsp-number", "7", good, "there are 0 OCSP responses for 1 certificates"),
        ("ocsp-pem", "\"certs/one.pem\"", good, "holds no OCSP response in DER"),
        ("ocsp-empty", "\"certs/one.ocsp\"", &|_| Vec::new(), "holds no OCSP response in DER"),
        (
            "ocsp-later",
            "\"certs/one.ocsp\"",
            &|_| tlv(0x30, &[&tlv(0x0a, &[&[3]])]),
            "the responder has said tryLater",
        ),
        ("ocsp-revoked", "\"certs/one.ocsp\"", revoked, "says that the certificate was revoked"),
        (
            "ocsp-unknown",
            "\"certs/one.ocsp\"",
            &|folder| response(folder, "one", &[0x82, 0], ""),
            "does not know the certificate",
        ),
        (
            "ocsp-another",
            "\"certs/one.ocsp\"",
            &|folder| response(folder, "two", GOOD, ""),
            "is about another certificate",
        ),
    ];
    for (test, ocsp, made, expected) in cases {
        match said(test, &format!("{one}{ocsp}"), |folder| stapled(folder, made)) {
            Ok(_) => panic!("{test}: nothing was said"),
            Err(text) => assert!(text.contains(expected), "{test}: {text}"),
        }
    }
    // Nor does a response that ends anywhere else do harm.
    let folder = std::env::temp_dir().join(format!("waitless-ocsp-{}", std::process::id()));
    files(&folder, "one", SystemTime::now(), 90);
    let whole = response(&folder, "one", GOOD, "21000101000000Z");
    let pem = fs::read(folder.join("one.pem")).unwrap();
    let chain = Chain::read(&pem, SystemTime::now()).unwrap();
    assert!(Staple::read(&whole, &chain).is_ok());
    for end in 0..whole.len() {
        assert!(Staple::read(&whole[..end], &chain).is_err(), "{end}");
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn those_who_are_trusted_are_embedded_once_each() {
    let said = |test: &str, trust: &str, prepare: &dyn Fn(&Path)| {
        let manifest = format!(
            "[app]\ncrate = \"web\"\nstacks = [\"tcp\"]\n\n\
             [caller]\nis = \"secure\"\non = \"tcp\"\n{trust}\n\n\
             [http]\nis = \"http1\"\non = \"caller\"\nport = 443\n\n[site]\non = [\"http\"]\n"
        );
        let mut project = project(&format!("trust-{test}"), &manifest);
        let app = project.workspace.package("web").unwrap().folder().to_owned();
        prepare(&app.join("certs"));
        project.graph("web", "qemu")
    };
    let (now, long_ago) = (SystemTime::now(), UNIX_EPOCH + DAY * 10_000);
    let bundle: &dyn Fn(&Path) = &|folder| {
        files(folder, "one", now, 90);
        files(folder, "two", now + DAY, 90);
        files(folder, "old", long_ago, 90);
        let all = ["one.pem", "two.pem", "old.pem", "one.pem"];
        let all = all.map(|name| fs::read(folder.join(name)).unwrap());
        fs::write(folder.join("all.pem"), all.concat()).unwrap();
    };
    let both = "trust = [\"certs/all.pem\", \"certs/one.pem\"]";
    let graph = said("bundle", both, bundle).unwrap();
    let blobs = graph.blobs.iter().map(|blob| blob.name.as_str());
    let names: Vec<_> = blobs.filter(|name| name.ends_with("trust")).collect();
    assert_eq!(names, ["caller.0.trust", "caller.1.trust"]);
    assert!(graph.warnings[0].ends_with("1 certificates have expired: left out"));
    let graph = said("development", "trust = \"development\"", &|_| {}).unwrap();
    let trusted = graph.blobs.iter().find(|blob| blob.name == "caller.0.trust").unwrap();
    assert_eq!(trusted.bytes, graph.blobs[0].bytes, "it trusts what it shows itself");
    for (test, trust, expected) in [
        ("number", "trust = 1", "this is no file, nor a list of them"),
        ("absent", "trust = \"certs/three.pem\"", "cannot read `apps/web/certs/three.pem`"),
        ("expired", "trust = \"certs/old.pem\"", "holds no certificate that has not expired"),
        ("key", "trust = \"certs/one.key\"", "holds no certificate"),
    ] {
        match said(test, trust, bundle) {
            Ok(_) => panic!("{test}: nothing was said"),
            Err(text) => assert!(text.contains(expected), "{test}: {text}"),
        }
    }
}

#[test]
fn a_key_chooses_the_form_of_a_component() {
    let (trust, ocsp) = ("trust = \"development\"", "ocsp = [\"none\"]");
    for (test, keys, expected) in [
        ("alone", "", "Secure"),
        ("mutual", trust, "Mutual"),
        ("stapled", ocsp, "Stapled"),
        // Whatever their order.
        ("both", &format!("{trust}\n{ocsp}"), "StapledMutual"),
        ("both-again", &format!("{ocsp}\n{trust}"), "StapledMutual"),
    ] {
        let graph = said(&format!("form-{test}"), keys, |_| {}).unwrap();
        let tls = graph.find("tls").unwrap();
        let Code::Type(name, config) = &tls.component.code else { panic!("a handler") };
        assert_eq!((name.as_str(), config.as_str()), (expected, "Config"));
        let trust = &tls.config[2].expression;
        assert_eq!(trust != "None", expected.ends_with("Mutual"), "{trust}");
    }
}

#[test]
fn the_certificate_for_development_is_made_once() {
    let graph = said("once", "", |_| {}).unwrap();
    let again = said("once-again", "", |_| {}).unwrap();
    assert_ne!(graph.blobs[0].bytes, again.blobs[0].bytes, "two folders have the same");
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates-once/certs");
    let before = fs::read(root.join("development.pem")).unwrap();
    assert!(before.starts_with(b"-----BEGIN CERTIFICATE-----"));
    let made = build::certificates::development(&root, SystemTime::now()).unwrap();
    assert_eq!(fs::read(&made.0).unwrap(), before);
    // Another one when the time of the first is half over.
    let later = SystemTime::now() + build::certificates::DEVELOPMENT;
    build::certificates::development(&root, later).unwrap();
    assert_ne!(fs::read(&made.0).unwrap(), before);
}

#[test]
fn all_who_want_the_certificate_for_development_get_the_same() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates-at-once");
    let _ = fs::remove_dir_all(&root);
    let get = || {
        let (certificate, key) =
            build::certificates::development(&root, SystemTime::now()).unwrap();
        let chain = Chain::read(&fs::read(certificate).unwrap(), SystemTime::now()).unwrap();
        assert!(chain.belongs_to(&PrivateKey::read(&fs::read(key).unwrap()).unwrap()));
        chain.certificates
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(get)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(fs::read_to_string(root.join(".gitignore")).unwrap(), "*\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(root.join("development.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o77, 0, "others may read the key");
    }
}

#[test]
fn keys_are_read_in_all_their_forms() {
    let (_, pem) = make(&["x"], SystemTime::now(), DAY).unwrap();
    let pkcs8 = PrivateKey::read(pem.as_bytes()).unwrap().pkcs8;
    // PKCS#8 holds SEC1 behind 26 bytes that name the curve, and that form names none.
    assert!(PrivateKey::read(&pkcs8).unwrap().pkcs8 == pkcs8);
    for wrong in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x"] {
        assert!(PrivateKey::read(wrong.as_bytes()).is_err());
    }
    // Of RSA, what its modulus is long, and nothing else, is looked at.
    let rsa = |bytes: usize, first: u8| {
        // A number whose first bit is set has a zero in front.
        let zero: &[u8] = if first >= 0x80 { &[0] } else { &[] };
        let modulus = [zero, &[first], &vec![1; bytes - 1]].concat();
        let small = tlv(2, &[&[1]]);
        let rest = small.repeat(7);
        let der = tlv(0x30, &[&tlv(2, &[&[0]]), &tlv(2, &[&modulus]), &rest]);
        let ending = pem_rfc7468::LineEnding::LF;
        let pem = pem_rfc7468::encode_string("RSA PRIVATE KEY", ending, &der).unwrap();
        PrivateKey::read(pem.as_bytes()).map(drop)
    };
    assert_eq!(rsa(256, 0x80), Ok(()));
    assert_eq!(rsa(1024, 0xff), Ok(()));
    for (bytes, first, bits) in [(256, 0x7f, "2047"), (255, 0x80, "2040"), (1025, 1, "8193")] {
        let why = rsa(bytes, first).unwrap_err();
        assert!(why.contains(bits), "{why}");
    }
    let encrypted = pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let why = PrivateKey::read(encrypted.as_bytes()).err().unwrap();
    assert!(why.contains("openssl pkey"), "{why}");
}
