//! The runner's flags, as far as they say what the component can be told or the runner cannot see.

use tls::ClientCertificate;
use waitless::Duration;

/// What one connection is like.
pub struct Settings {
    /// Where the runner is: whether on IPv6, and its port; and who this is.
    pub to: (bool, u16, u64),
    pub server: bool,
    /// Connections after the first.
    pub resume_count: usize,
    pub credentials: Vec<Credential>,
    /// A file with the certificate of who vouches for the runner.
    pub trust: Option<String>,
    /// It must not believe the runner, whatever it shows.
    pub trusts_nobody: bool,
    /// Whether a server asks who the client is.
    pub asks: Option<ClientCertificate>,
    pub alpn: Vec<String>,
    pub early: bool,
    pub tickets: bool,
    /// What a client dials.
    pub name: String,
    /// What is said first.
    pub greeting: Vec<u8>,
    /// It ends the connection instead of answering.
    pub ends: bool,
    pub checks_end: bool,
    pub expects_miss: bool,
    pub expects_early: Option<bool>,
    pub expects_retry: Option<bool>,
    /// Time that passes before the connection.
    pub delay: Duration,
}

/// A certificate with its key.
#[derive(Default)]
pub struct Credential {
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub staple: Option<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            to: (false, 0, 0),
            server: false,
            resume_count: 0,
            credentials: Vec::new(),
            trust: None,
            trusts_nobody: false,
            asks: None,
            alpn: Vec::new(),
            early: false,
            tickets: true,
            // The name in the runner's certificates.
            name: "test".to_owned(),
            greeting: Vec::new(),
            ends: false,
            checks_end: false,
            expects_miss: false,
            expects_early: None,
            expects_retry: None,
            delay: Duration::ZERO,
        }
    }
}

/// The settings of the connections that `which` flags are for; `Err` is a flag that is not known,
/// or that asks for what there is not.
pub fn read(arguments: &[String], which: &str) -> Result<Settings, String> {
    let mut settings = Settings::default();
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(given) = rest.next() {
        let mut flag = given.strip_prefix("-on-shim").unwrap_or(given);
        let mut ignored = Settings::default();
        let mut to = &mut settings;
        for prefix in ["-on-initial", "-on-resume"] {
            if let Some(bare) = flag.strip_prefix(prefix) {
                flag = bare;
                if prefix != which {
                    to = &mut ignored;
                }
            }
        }
        to.switch(flag).or_else(|()| to.value(flag, &mut rest)).map_err(|()| given.to_owned())?;
    }
    if settings.early && !settings.server {
        return Err("-enable-early-data for a client".to_owned());
    }
    Ok(settings)
}

impl Settings {
    /// A flag without a value.
    fn switch(&mut self, flag: &str) -> Result<(), ()> {
        match flag {
            "-ipv6" => self.to.0 = true,
            "-server" => self.server = true,
            "-no-ticket" => self.tickets = false,
            "-decline-alpn" => self.alpn.clear(),
            "-decline-ocsp-callback" => self.credential().staple = None,
            "-verify-fail" => self.trusts_nobody = true,
            "-reject-alpn" => self.alpn = vec!["no client's".to_owned()],
            "-enable-early-data" => self.early = true,
            "-verify-peer" => {
                self.asks = self.asks.or(Some(ClientCertificate::Optional));
            }
            "-require-any-client-certificate" => self.asks = Some(ClientCertificate::Required),
            "-shim-writes-first" => self.greeting = b"hello".to_vec(),
            "-write-different-record-sizes" => {
                let lengths = [0, 1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769];
                self.greeting = vec![0x42; lengths.iter().sum()];
                self.ends = true;
            }
            "-shim-shuts-down" => self.ends = true,
            "-check-close-notify" => self.checks_end = true,
            "-expect-session-miss" => self.expects_miss = true,
            "-expect-accept-early-data" => self.expects_early = Some(true),
            "-expect-reject-early-data" => self.expects_early = Some(false),
            "-expect-hrr" => self.expects_retry = Some(true),
            "-expect-no-hrr" => self.expects_retry = Some(false),
            "-new-x509-credential" => self.credentials.push(Credential::default()),
            // How BoringSSL's interface is used, what is always so, and what the runner sees too.
            "-async"
            | "-implicit-handshake"
            | "-partial-write"
            | "-peek-then-read"
            | "-no-op-extra-handshake"
            | "-handshake-twice"
            | "-use-early-callback"
            | "-use-custom-verify-callback"
            | "-use-old-client-cert-callback"
            | "-use-ticket-callback"
            | "-use-ticket-aead-callback"
            | "-expect-verify-result"
            | "-use-ocsp-callback"
            | "-set-ocsp-in-callback"
            | "-install-ddos-callback"
            | "-server-preference"
            | "-enable-ocsp-stapling"
            | "-permute-extensions"
            | "-no-tls1"
            | "-no-tls11"
            | "-no-tls12"
            | "-expect-no-secure-renegotiation"
            | "-expect-no-session"
            | "-expect-no-session-id"
            | "-expect-session-id"
            | "-expect-no-peer-cert"
            | "-expect-ticket-renewal"
            | "-expect-no-offer-early-data"
            | "-expect-extended-master-secret"
            | "-expect-secure-renegotiation"
            | "-renegotiate-freely"
            | "-renegotiate-once"
            | "-renegotiate-ignore"
            | "-renegotiate-explicit"
            | "-forbid-renegotiation-after-handshake" => {}
            _ => return Err(()),
        }
        Ok(())
    }

    /// A flag with a value.
    fn value<'a>(
        &mut self,
        flag: &str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), ()> {
        let value = rest.next().ok_or(())?;
        let number = || value.parse::<u64>().map_err(|_| ());
        match flag {
            "-port" => self.to.1 = number()? as u16,
            "-shim-id" => self.to.2 = number()?,
            "-resume-count" => self.resume_count = number()? as usize,
            "-cert-file" => self.credential().certificate = Some(value.to_owned()),
            "-key-file" => self.credential().key = Some(value.to_owned()),
            "-ocsp-response" => self.credential().staple = Some(base64(value).ok_or(())?),
            "-trust-cert" => self.trust = Some(value.to_owned()).filter(|it| !it.is_empty()),
            "-host-name" => self.name = value.to_owned(),
            "-advertise-alpn" => self.alpn = protocols(value.as_bytes()).ok_or(())?,
            "-select-alpn" => self.alpn = vec![value.to_owned()],
            "-shim-initial-write" => self.greeting = value.as_bytes().to_vec(),
            "-resumption-delay" => self.delay = Duration::from_secs(number()?),
            "-expect-version" | "-max-version" => {
                number().ok().filter(|version| *version == 0x0304).ok_or(())?;
            }
            "-min-version" => {
                number().ok().filter(|version| *version <= 0x0304).ok_or(())?;
            }
            // Those that there are, which cannot be chosen from.
            "-curves" => {
                number().ok().filter(|it| matches!(it, 23 | 24 | 29 | 0x11ec)).ok_or(())?;
            }
            "-signing-prefs" | "-verify-prefs" => {
                let known = [0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0807];
                number().ok().filter(|it| known.contains(it)).ok_or(())?;
            }
            // The runner looks as well.
            "-expect-alpn"
            | "-expect-advertised-alpn"
            | "-expect-curve-id"
            | "-expect-server-name"
            | "-expect-peer-signature-algorithm"
            | "-expect-peer-cert-file"
            | "-expect-ocsp-response"
            | "-expect-selected-credential"
            | "-expect-cipher-aes"
            | "-expect-cipher-no-aes"
            | "-expect-client-ca-list"
            | "-expect-msg-callback"
            | "-expect-total-renegotiations"
            | "-expect-early-data-reason"
            | "-handshaker-path"
            | "-read-size" => {}
            _ => return Err(()),
        }
        Ok(())
    }

    /// What flags about certificates are about.
    fn credential(&mut self) -> &mut Credential {
        if self.credentials.is_empty() {
            self.credentials.push(Credential::default());
        }
        self.credentials.last_mut().expect("one")
    }
}

/// Names, each with its length in front.
fn protocols(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (name, behind) = rest.split_at_checked(usize::from(*length))?;
        names.push(String::from_utf8(name.to_vec()).ok()?);
        bytes = behind;
    }
    Some(names)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|it| *it == digit)?;
        (held, bits) = (held << 6 | value as u32, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    Some(bytes)
}
