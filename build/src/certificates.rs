//! Certificates and private keys: read from files, checked, and made for development.

use der::{Decode, Encode};
use pkcs8::{DecodePrivateKey, EncodePublicKey, PrivateKeyInfoRef};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::der;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{KeyUsage, SubjectAltName};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A certificate with those that vouch for it, as a file holds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// In DER, the server's own first.
    pub certificates: Vec<Vec<u8>>,
    /// The host names that it is for, in lower case.
    pub names: Vec<String>,
    /// Whether it is for anything that has a name or an address.
    pub is_named: bool,
    /// Whether its key may sign, as every handshake wants it.
    pub signs: bool,
    /// How long it is still good for.
    pub remaining: Duration,
    /// Its public key, as a SubjectPublicKeyInfo in DER.
    public: Vec<u8>,
}

/// Those whom somebody trusts to vouch for others, as a file holds them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// In DER, in the file's order.
    pub certificates: Vec<Vec<u8>>,
    /// How many more the file holds that are not good any more.
    pub expired: usize,
}

/// A private key.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    /// As PKCS#8 in DER.
    pub pkcs8: Vec<u8>,
    /// The public key that belongs to it, as a SubjectPublicKeyInfo in DER.
    public: Vec<u8>,
}

/// How long a certificate for development is good for. It is replaced when half of this is left.
pub const DEVELOPMENT: Duration = Duration::from_secs(180 * 86_400);

impl Trust {
    /// The certificates in `bytes`, PEM or DER, that are good at `now` or will be.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that names the file.
    pub fn read(bytes: &[u8], now: SystemTime) -> Result<Self, String> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut certificates, mut expired) = (Vec::new(), 0);
        for (number, der) in in_der(bytes)?.into_iter().enumerate() {
            let parsed = x509_cert::Certificate::from_der(&der)
                .map_err(|why| format!("holds no certificate in place {}: {why}", number + 1))?;
            let end = parsed.tbs_certificate().validity().not_after.to_unix_duration();
            if end > now {
                certificates.push(der);
            } else {
                expired += 1;
            }
        }
        match (certificates.is_empty(), expired) {
            (false, _) => Ok(Self { certificates, expired }),
            (true, 0) => Err("holds no certificate".to_owned()),
            (true, _) => Err("holds no certificate that has not expired".to_owned()),
        }
    }
}

/// The certificates in `bytes`, PEM or DER.
fn in_der(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    if !is_pem(bytes) {
        return Ok(vec![bytes.to_owned()]);
    }
    let blocks = blocks(bytes)?.into_iter();
    Ok(blocks.filter(|(label, _)| label == "CERTIFICATE").map(|(_, der)| der).collect())
}

impl Chain {
    /// The chain in `bytes`, PEM or DER, which must be good at `now`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that names the file.
    pub fn read(bytes: &[u8], now: SystemTime) -> Result<Self, String> {
        let certificates = in_der(bytes)?;
        let parsed: Result<Vec<_>, _> =
            certificates.iter().map(|der| x509_cert::Certificate::from_der(der)).collect();
        let parsed = parsed.map_err(|why| format!("holds no certificate: {why}"))?;
        let first = parsed.first().ok_or("holds no certificate")?.tbs_certificate();
        for (number, pair) in parsed.windows(2).enumerate() {
            if pair[0].tbs_certificate().issuer() != pair[1].tbs_certificate().subject() {
                let (this, next) = (number + 1, number + 2);
                return Err(format!(
                    "is out of order: certificate {next} did not issue certificate {this}"
                ));
            }
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut remaining = Duration::MAX;
        for (number, certificate) in parsed.iter().enumerate() {
            let validity = certificate.tbs_certificate().validity();
            if now < validity.not_before.to_unix_duration() {
                return Err(format!("is not good before {}", validity.not_before));
            }
            let left = validity.not_after.to_unix_duration().checked_sub(now);
            let left = left.filter(|left| !left.is_zero()).ok_or_else(|| {
                format!("expired at {} (certificate {})", validity.not_after, number + 1)
            })?;
            remaining = remaining.min(left);
        }
        let names = names(first)?;
        let is_named = names.is_some();
        let names = names.unwrap_or_default();
        let usage = first.get_extension::<KeyUsage>().map_err(|why| why.to_string())?;
        let signs = usage.is_none_or(|(_, usage)| usage.digital_signature());
        let public = first.subject_public_key_info().to_der().map_err(|why| why.to_string())?;
        Ok(Self { certificates, names, is_named, signs, remaining, public })
    }

    /// The certificate's serial number, as DER has it.
    pub(crate) fn serial(&self) -> Result<Vec<u8>, String> {
        let first = self.certificates.first().ok_or("holds no certificate")?;
        let parsed = x509_cert::Certificate::from_der(first).map_err(|why| why.to_string())?;
        Ok(parsed.tbs_certificate().serial_number().as_bytes().to_owned())
    }

    /// Whether `key` is this certificate's.
    pub fn belongs_to(&self, key: &PrivateKey) -> bool {
        self.public == key.public
    }
}

/// The host names in the list of what `certificate` is for, where it has one.
fn names(certificate: &x509_cert::TbsCertificate) -> Result<Option<Vec<String>>, String> {
    let found = certificate.get_extension::<SubjectAltName>();
    let Some((_, alternatives)) = found.map_err(|why| why.to_string())? else {
        return Ok(None);
    };
    let name = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    };
    Ok(Some(alternatives.0.iter().filter_map(name).collect()))
}

impl PrivateKey {
    /// The key in `bytes`: PEM, or PKCS#8, SEC1 or PKCS#1 in DER.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that names the file.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if !is_pem(bytes) {
            let kinds = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"];
            let mut read = kinds.into_iter().filter_map(|label| Self::of(label, bytes).ok());
            return read.next().ok_or_else(|| NO_KEY.to_owned());
        }
        let blocks = blocks(bytes)?;
        let is_key = |(label, _): &&(String, Vec<u8>)| label.ends_with("PRIVATE KEY");
        let (label, der) = blocks.iter().find(is_key).ok_or(NO_KEY)?;
        if label == "ENCRYPTED PRIVATE KEY" {
            return Err("holds a key that is encrypted: decrypt it by `openssl pkey`".to_owned());
        }
        Self::of(label, der)
    }

    fn of(label: &str, der: &[u8]) -> Result<Self, String> {
        let pkcs8 = match label {
            "PRIVATE KEY" => der.to_owned(),
            "EC PRIVATE KEY" => wrap_ec(der)?,
            "RSA PRIVATE KEY" => {
                // AlgorithmIdentifier: rsaEncryption, NULL.
                let algorithm = tlv(0x30, &[RSA_ENCRYPTION, &[5, 0]].concat());
                wrap(&algorithm, der)
            }
            _ => return Err(NO_KEY.to_owned()),
        };
        let public = public_of(&pkcs8).ok_or(NO_KEY)?;
        // The image would not start.
        if let Some(bits) = rsa_bits(&pkcs8).filter(|bits| !RSA_BITS.contains(bits)) {
            return Err(format!(
                "holds a key of RSA with {bits} bits: it must have 2,048 to 8,192"
            ));
        }
        Ok(Self { pkcs8, public })
    }
}

/// The SubjectPublicKeyInfo that belongs to a private key.
fn public_of(pkcs8: &[u8]) -> Option<Vec<u8>> {
    if let Ok(key) = p256::SecretKey::from_pkcs8_der(pkcs8) {
        return Some(key.public_key().to_public_key_der().ok()?.into_vec());
    }
    if let Ok(key) = p384::SecretKey::from_pkcs8_der(pkcs8) {
        return Some(key.public_key().to_public_key_der().ok()?.into_vec());
    }
    if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(pkcs8) {
        // AlgorithmIdentifier: 1.3.101.112, no parameters.
        let algorithm = tlv(0x30, &[6, 3, 0x2b, 0x65, 0x70]);
        let bits = tlv(3, &[&[0], &key.verifying_key().to_bytes()[..]].concat());
        return Some(tlv(0x30, &[algorithm, bits].concat()));
    }
    let info = PrivateKeyInfoRef::from_der(pkcs8).ok()?;
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).ok()?;
    let public = key.public_key().to_der().ok()?;
    let algorithm = tlv(0x30, &[RSA_ENCRYPTION, &[5, 0]].concat());
    let bits = tlv(3, &[&[0], &public[..]].concat());
    let info = tlv(0x30, &[algorithm, bits].concat());
    SubjectPublicKeyInfoOwned::from_der(&info).ok()?.to_der().ok()
}

/// What keys of RSA may have, as the component `tls` has it.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bits of the modulus, where the key is one of RSA.
fn rsa_bits(pkcs8: &[u8]) -> Option<usize> {
    let info = PrivateKeyInfoRef::from_der(pkcs8).ok()?;
    let key = pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).ok()?;
    let modulus = key.modulus.as_bytes();
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}

/// SEC1 as PKCS#8: the curve stands in the key, and belongs in front of it.
fn wrap_ec(der: &[u8]) -> Result<Vec<u8>, String> {
    let key = sec1::EcPrivateKey::from_der(der).map_err(|why| why.to_string())?;
    let parameters = key.parameters.and_then(|parameters| parameters.named_curve());
    let curve = parameters.ok_or("holds a key that does not name its curve")?;
    let curve = curve.to_der().map_err(|why| why.to_string())?;
    Ok(wrap(&tlv(0x30, &[EC_PUBLIC_KEY, &curve[..]].concat()), der))
}

fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, 0], algorithm, &tlv(4, key)].concat())
}

const NO_KEY: &str = "holds no private key of P-256, P-384, Ed25519 or RSA";
/// The object identifier 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// 1.2.840.10045.2.1.
const EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// 1.2.840.10045.4.3.2.
const ECDSA_WITH_SHA256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[6, 3, 0x55, 4, 3];

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|part| part == b"-----BEGIN ")
}

/// The blocks of a PEM file: labels and contents.
fn blocks(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is no text, as PEM is")?;
    let (mut found, mut block) = (Vec::new(), None::<String>);
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            block = Some(String::new());
        }
        let Some(lines) = &mut block else { continue };
        lines.push_str(line.trim_end());
        lines.push('\n');
        if line.starts_with("-----END ") {
            let (label, der) = pem_rfc7468::decode_vec(lines.as_bytes())
                .map_err(|why| format!("cannot be read as PEM: {why}"))?;
            found.push((label.to_owned(), der));
            block = None;
        }
    }
    Ok(found)
}

/// The certificate for development in `folder` and its key, made when there are none or when
/// they are not good for long. Processes that want it at once get the same one. A folder that is
/// made for them is one that git ignores.
///
/// # Errors
/// One line that says what could not be written.
pub fn development(folder: &Path, now: SystemTime) -> Result<(PathBuf, PathBuf), String> {
    let [certificate, key] = ["development.pem", "development.key"].map(|name| folder.join(name));
    let fresh = !folder.exists();
    fs::create_dir_all(folder).map_err(|why| format!("cannot make {}: {why}", folder.display()))?;
    // Whoever comes second waits, and finds what the first made. Without locks both make one,
    // and at worst the build says that they do not belong together.
    let lock = fs::File::open(folder);
    let _locked = lock.as_ref().is_ok_and(|folder| folder.lock().is_ok());
    if fresh {
        // A key is not for version control, whatever the repository around this ignores.
        put(&folder.join(".gitignore"), "*\n", 0o644)?;
    }
    let chain = fs::read(&certificate).ok().and_then(|bytes| Chain::read(&bytes, now).ok());
    let private = fs::read(&key).ok().and_then(|bytes| PrivateKey::read(&bytes).ok());
    let good = chain.zip(private).is_some_and(|(chain, private)| {
        chain.belongs_to(&private) && chain.remaining > DEVELOPMENT / 2
    });
    if !good {
        let (pem, private) = make(&DEVELOPMENT_NAMES, now, DEVELOPMENT)?;
        put(&key, &private, 0o600)?;
        put(&certificate, &pem, 0o644)?;
    }
    Ok((certificate, key))
}

/// Writes a file that only its owner may read, where `mode` says so and the system knows that.
fn put(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    // What is there already may be anybody's to read.
    let _ = fs::remove_file(path);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| format!("cannot write {}: {why}", path.display()))
}

/// What the certificate for development is for.
const DEVELOPMENT_NAMES: [&str; 2] = ["localhost", "waitless"];
/// The addresses that it is for: the host's, and a guest's in QEMU's own network.
const DEVELOPMENT_ADDRESSES: [&[u8]; 3] =
    [&[127, 0, 0, 1], &[10, 0, 2, 15], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]];

/// A certificate for `names` that vouches for itself, good for `lifetime` from `from` on, and its
/// key of P-256: both as PEM.
///
/// # Errors
/// One line, when this machine has no random numbers.
pub fn make(
    names: &[&str],
    from: SystemTime,
    lifetime: Duration,
) -> Result<(String, String), String> {
    use p256::ecdsa::signature::Signer;
    use p256::elliptic_curve::Generate;
    use pkcs8::EncodePrivateKey;
    let said = |why: &dyn std::fmt::Display| format!("cannot make a certificate: {why}");
    let key = p256::SecretKey::try_generate().map_err(|why| said(&why))?;
    let public = key.public_key().to_public_key_der().map_err(|why| said(&why))?;
    let from = from.duration_since(UNIX_EPOCH).unwrap_or_default();
    let until = from + lifetime;
    let subject = tlv(0x0c, names.first().unwrap_or(&"waitless").as_bytes());
    let subject = tlv(0x30, &tlv(0x31, &tlv(0x30, &[COMMON_NAME, &subject[..]].concat())));
    let algorithm = tlv(0x30, ECDSA_WITH_SHA256);
    // Random enough to be unlike that of another: the public key's own bytes.
    let mut serial = public.as_bytes()[30..46].to_vec();
    serial[0] = serial[0] & 0x3f | 0x40;
    let body = [
        tlv(0xa0, &[2, 1, 2]),
        tlv(2, &serial),
        algorithm.clone(),
        subject.clone(),
        tlv(0x30, &[time(from)?, time(until)?].concat()),
        subject,
        public.as_bytes().to_vec(),
        tlv(0xa3, &tlv(0x30, &extensions(names))),
    ];
    let body = tlv(0x30, &body.concat());
    let signing = p256::ecdsa::SigningKey::from(&key);
    let signature: p256::ecdsa::Signature = signing.sign(&body);
    let signature = tlv(3, &[&[0], signature.to_der().as_bytes()].concat());
    let der = tlv(0x30, &[body, algorithm, signature].concat());
    let ending = pem_rfc7468::LineEnding::LF;
    let pem = pem_rfc7468::encode_string("CERTIFICATE", ending, &der).map_err(|why| said(&why))?;
    let private = key.to_pkcs8_pem(ending).map_err(|why| said(&why))?;
    Ok((pem, private.to_string()))
}

/// Names, and what the key is for.
fn extensions(names: &[&str]) -> Vec<u8> {
    let dns = names.iter().map(|name| tlv(0x82, name.as_bytes()));
    let addresses = DEVELOPMENT_ADDRESSES.iter().map(|address| tlv(0x87, address));
    let names = tlv(0x30, &dns.chain(addresses).collect::<Vec<_>>().concat());
    // id-kp-serverAuth, 1.3.6.1.5.5.7.3.1.
    let usage = tlv(0x30, &[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]);
    let extension = |id: u8, critical: bool, content: &[u8]| {
        let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
        tlv(0x30, &[&[6, 3, 0x55, 0x1d, id], critical, &tlv(4, content)].concat())
    };
    [
        extension(17, false, &names),
        // digitalSignature.
        extension(15, true, &[3, 2, 7, 0x80]),
        extension(37, false, &usage),
        // Not a CA.
        extension(19, true, &[0x30, 0]),
    ]
    .concat()
}

fn time(since_1970: Duration) -> Result<Vec<u8>, String> {
    let seconds = Duration::from_secs(since_1970.as_secs());
    let time = der::asn1::UtcTime::from_unix_duration(seconds).map_err(|why| why.to_string())?;
    time.to_der().map_err(|why| why.to_string())
}

/// A tag, a length, and the content.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => {
            out.push(0x82);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}
