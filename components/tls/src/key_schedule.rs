//! The key schedule (RFC 8446 section 7): from what the ends share to the keys that they use.

use crate::crypto::{Digest, Hash, Keyed, NONCE, Secret, Suite};
use waitless::keys::KeyLogs;
use zeroize::Zeroize;

/// The early secret of a key that both ends know from an earlier connection.
pub struct EarlySecret(Keyed);

impl EarlySecret {
    /// That of `key`.
    pub fn new(hash: Hash, key: &Secret) -> Self {
        let zeros = Keyed::new(hash, Secret::zeros(hash).bytes());
        Self(Keyed::new(hash, zeros.extract(key.bytes()).bytes()))
    }

    /// What proves that the sender of a hello knows the key (RFC 8446 section 4.2.11.2);
    /// `transcript` is that up to the binders.
    pub fn binder(&self, transcript: &Digest) -> Digest {
        let hash = self.0.hash();
        finished(&Keyed::new(hash, self.binder_key().bytes()), transcript)
    }

    /// What the client protects early data with, after its hello.
    pub fn early_traffic(&self, transcript: &Digest) -> TrafficSecret {
        TrafficSecret::derive(&self.0, b"c e traffic", transcript)
    }

    pub(crate) fn binder_key(&self) -> Secret {
        derive(&self.0, b"res binder", self.0.hash().of_nothing())
    }

    /// Whether it is `secret`.
    #[cfg(test)]
    pub(crate) fn is(&self, secret: &[u8]) -> bool {
        is_of(&self.0, secret)
    }
}

/// Where the schedule is: at a secret from which all later ones follow, the handshake secret or
/// the master secret.
pub struct Schedule(Keyed);

impl Schedule {
    /// At the handshake secret. `early` is the early secret where both ends know a key from an
    /// earlier connection, and `shared` comes of the key exchange.
    pub fn new(hash: Hash, early: Option<&EarlySecret>, shared: &[u8]) -> Self {
        match early {
            Some(early) => after(&early.0, shared),
            None => from(hash, first_salt(hash), shared),
        }
    }

    /// From the handshake secret to the master secret.
    pub fn into_master(self) -> Self {
        after(&self.0, Secret::zeros(self.0.hash()).bytes())
    }

    /// The secrets of the handshake, after the server's hello.
    pub fn handshake_traffic(&self, transcript: &Digest) -> Traffic {
        self.traffic(b"c hs traffic", b"s hs traffic", transcript)
    }

    /// The secrets of the application, after the server's Finished.
    pub fn application_traffic(&self, transcript: &Digest) -> Traffic {
        self.traffic(b"c ap traffic", b"s ap traffic", transcript)
    }

    /// What later connections resume with, after the client's Finished.
    pub fn resumption(&self, transcript: &Digest) -> Secret {
        derive(&self.0, b"res master", transcript.bytes())
    }

    fn traffic(&self, client: &[u8], server: &[u8], transcript: &Digest) -> Traffic {
        let derive = |label| TrafficSecret::derive(&self.0, label, transcript);
        Traffic { client: derive(client), server: derive(server) }
    }

    /// Whether it is at `secret`.
    #[cfg(test)]
    pub(crate) fn is_at(&self, secret: &[u8]) -> bool {
        is_of(&self.0, secret)
    }
}

//= RFC 8446 7.1: each secret is the salt of the next
fn after(secret: &Keyed, input: &[u8]) -> Schedule {
    let hash = secret.hash();
    from(hash, derive(secret, b"derived", hash.of_nothing()).bytes(), input)
}

fn from(hash: Hash, salt: &[u8], input: &[u8]) -> Schedule {
    Schedule(Keyed::new(hash, Keyed::new(hash, salt).extract(input).bytes()))
}

/// The salt of the handshake secret where no key is known from an earlier connection: it follows
/// from nothing but zeros, so that it is always the same.
const fn first_salt(hash: Hash) -> &'static [u8] {
    match hash {
        Hash::Sha256 => &FIRST_SALT_SHA256,
        Hash::Sha384 => &FIRST_SALT_SHA384,
    }
}

/// The two directions' secrets of one phase.
pub struct Traffic {
    /// What the client protects with.
    pub client: TrafficSecret,
    /// What the server protects with.
    pub server: TrafficSecret,
}

impl Traffic {
    /// Tells whoever may look into the connection: the labels are those of the client's secret and
    /// of the server's, `random` is of the client's hello.
    pub(crate) fn tell(&self, keys: Option<&KeyLogs>, labels: [&str; 2], random: &[u8; 32]) {
        let Some(keys) = keys else { return };
        keys.tell(labels[0], random, self.client.bytes());
        keys.tell(labels[1], random, self.server.bytes());
    }
}

/// What the secrets of the handshake are called in a key log, the client's first.
pub(crate) const HANDSHAKE_LABELS: [&str; 2] =
    ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"];
/// What the secret of early data is called there.
pub(crate) const EARLY_LABEL: &str = "CLIENT_EARLY_TRAFFIC_SECRET";
/// The same of the application's.
pub(crate) const APPLICATION_LABELS: [&str; 2] =
    ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"];

/// What one end protects one phase of a connection with, ready for all that follows from it: keys,
/// a Finished, the next secret. It is three times as long as the secret itself, which is what to
/// keep for longer.
#[derive(Clone)]
pub struct TrafficSecret {
    secret: Secret,
    keyed: Keyed,
}

impl TrafficSecret {
    /// The one that is `secret`.
    pub fn new(hash: Hash, secret: Secret) -> Self {
        let keyed = Keyed::new(hash, secret.bytes());
        Self { secret, keyed }
    }

    /// What follows from it under `label`, of which [`expand_label`] says more: the keys of
    /// records, or of QUIC's packets.
    pub fn expand(&self, label: &[u8], output: &mut [u8]) {
        expand_label(&self.keyed, label, b"", output);
    }

    /// What its sender's Finished must hold; `transcript` is that up to there.
    pub fn finished(&self, transcript: &Digest) -> Digest {
        finished(&self.keyed, transcript)
    }

    /// The one after it (RFC 8446 section 7.2).
    #[must_use]
    pub fn next(&self) -> Self {
        let hash = self.keyed.hash();
        Self::new(hash, derive(&self.keyed, b"traffic upd", b""))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.secret.bytes()
    }

    /// Keeps its bytes alone.
    pub fn into_secret(self) -> Secret {
        self.secret
    }

    fn derive(from: &Keyed, label: &[u8], transcript: &Digest) -> Self {
        Self::new(from.hash(), derive(from, label, transcript.bytes()))
    }
}

/// The key and the nonce's base that follow from a traffic secret.
pub struct TrafficKey {
    /// The key, of which as many bytes count as the suite's has.
    pub key: [u8; 32],
    /// What each record's number is added to.
    pub iv: [u8; NONCE],
}

impl TrafficKey {
    /// The key of `secret`.
    pub fn new(suite: Suite, secret: &TrafficSecret) -> Self {
        let mut made = Self { key: [0; 32], iv: [0; NONCE] };
        let key = made.key.get_mut(..suite.cipher().key_length()).unwrap_or_default();
        secret.expand(b"key", key);
        secret.expand(b"iv", &mut made.iv);
        made
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// The key of the ticket with `nonce`; `resumption` is the resumption master secret.
pub fn ticket_key(resumption: &Keyed, nonce: &[u8]) -> Secret {
    derive(resumption, b"resumption", nonce)
}

/// What a Finished, or a binder, must hold; `base` is the traffic secret of its sender, or the
/// binder's key.
fn finished(base: &Keyed, transcript: &Digest) -> Digest {
    let key = derive(base, b"finished", b"");
    Keyed::new(base.hash(), key.bytes()).mac(&[transcript.bytes()])
}

/// HKDF-Expand-Label to the length of the hash.
fn derive(secret: &Keyed, label: &[u8], context: &[u8]) -> Secret {
    let mut bytes = [0; 48];
    let output = bytes.get_mut(..secret.hash().length()).unwrap_or_default();
    expand_label(secret, label, context, output);
    let derived = Secret::new(output);
    bytes.zeroize();
    derived
}

/// HKDF-Expand-Label (RFC 8446 section 7.1); `label` is without its prefix, and short, as all
/// of this protocol's and of QUIC's are.
pub fn expand_label(secret: &Keyed, label: &[u8], context: &[u8], output: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let length = (output.len() as u16).to_be_bytes();
    let label_length = [(PREFIX.len() + label.len()) as u8];
    let context_length = [context.len() as u8];
    let info = [&length[..], &label_length, PREFIX, label, &context_length, context];
    secret.expand(&info, output);
}

/// Whether `keyed` was made of `secret`.
#[cfg(test)]
fn is_of(keyed: &Keyed, secret: &[u8]) -> bool {
    keyed.mac(&[]).bytes() == Keyed::new(keyed.hash(), secret).mac(&[]).bytes()
}

const FIRST_SALT_SHA256: [u8; 32] = [
    0x6f, 0x26, 0x15, 0xa1, 0x08, 0xc7, 0x02, 0xc5, 0x67, 0x8f, 0x54, 0xfc, 0x9d, 0xba, 0xb6, 0x97,
    0x16, 0xc0, 0x76, 0x18, 0x9c, 0x48, 0x25, 0x0c, 0xeb, 0xea, 0xc3, 0x57, 0x6c, 0x36, 0x11, 0xba,
];
const FIRST_SALT_SHA384: [u8; 48] = [
    0x15, 0x91, 0xda, 0xc5, 0xcb, 0xbf, 0x03, 0x30, 0xa4, 0xa8, 0x4d, 0xe9, 0xc7, 0x53, 0x33, 0x0e,
    0x92, 0xd0, 0x1f, 0x0a, 0x88, 0x21, 0x4b, 0x44, 0x64, 0x97, 0x2f, 0xd6, 0x68, 0x04, 0x9e, 0x93,
    0xe5, 0x2f, 0x2b, 0x16, 0xfa, 0xd9, 0x22, 0xfd, 0xc0, 0x58, 0x44, 0x78, 0x42, 0x8f, 0x28, 0x2b,
];
