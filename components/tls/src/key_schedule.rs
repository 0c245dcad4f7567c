//! The key schedule (RFC 8446 section 7): from what the ends share to the keys that they use.

use crate::crypto::{Digest, Hash, NONCE, Secret, Suite, expand, extract, hmac};
use waitless::keys::KeyLogs;
use zeroize::Zeroize;

/// Where the schedule is: at a secret from which all later ones follow.
pub struct Schedule {
    hash: Hash,
    secret: Secret,
}

/// The two directions' secrets of one phase.
pub struct Traffic {
    /// What the client protects with.
    pub client: Secret,
    /// What the server protects with.
    pub server: Secret,
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

impl Schedule {
    /// The early secret; `key` is the one that both ends know from before, if they do.
    pub fn new(hash: Hash, key: Option<&Secret>) -> Self {
        let zeros = Secret::zeros(hash);
        let secret = extract(hash, zeros.bytes(), key.unwrap_or(&zeros).bytes());
        Self { hash, secret }
    }

    /// The key of the binder of a key from an earlier connection.
    pub fn binder_key(&self) -> Secret {
        derive(self.hash, &self.secret, b"res binder", self.hash.of(&[]).bytes())
    }

    /// What the client protects early data with, after its hello.
    pub fn early_traffic(&self, transcript: &Digest) -> Secret {
        derive(self.hash, &self.secret, b"c e traffic", transcript.bytes())
    }

    /// From the early secret to the handshake secret; `shared` comes of the key exchange.
    pub fn into_handshake(self, shared: &[u8]) -> Self {
        self.next(shared)
    }

    /// From the handshake secret to the master secret.
    pub fn into_master(self) -> Self {
        let zeros = Secret::zeros(self.hash);
        self.next(zeros.bytes())
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
        derive(self.hash, &self.secret, b"res master", transcript.bytes())
    }

    //= RFC 8446 7.1: each secret is the salt of the next
    fn next(self, input: &[u8]) -> Self {
        let salt = derive(self.hash, &self.secret, b"derived", self.hash.of(&[]).bytes());
        Self { hash: self.hash, secret: extract(self.hash, salt.bytes(), input) }
    }

    fn traffic(&self, client: &[u8], server: &[u8], transcript: &Digest) -> Traffic {
        let derive = |label| derive(self.hash, &self.secret, label, transcript.bytes());
        Traffic { client: derive(client), server: derive(server) }
    }

    /// The secret that the schedule is at.
    #[cfg(test)]
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
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
    pub fn new(suite: Suite, secret: &Secret) -> Self {
        let mut made = Self { key: [0; 32], iv: [0; NONCE] };
        let key = made.key.get_mut(..suite.cipher().key_length()).unwrap_or_default();
        expand_label(suite.hash(), secret, b"key", b"", key);
        expand_label(suite.hash(), secret, b"iv", b"", &mut made.iv);
        made
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

/// The traffic secret after `secret` (RFC 8446 section 7.2).
pub fn next_traffic(hash: Hash, secret: &Secret) -> Secret {
    derive(hash, secret, b"traffic upd", b"")
}

/// What a Finished, or a binder, must hold: `base` is the traffic secret of its sender, or the
/// binder's key.
pub fn finished(hash: Hash, base: &Secret, transcript: &Digest) -> Digest {
    let key = derive(hash, base, b"finished", b"");
    hmac(hash, key.bytes(), &[transcript.bytes()])
}

/// The key of the ticket with `nonce`; `resumption` is the resumption master secret.
pub fn ticket_key(hash: Hash, resumption: &Secret, nonce: &[u8]) -> Secret {
    derive(hash, resumption, b"resumption", nonce)
}

/// HKDF-Expand-Label to the length of the hash.
fn derive(hash: Hash, secret: &Secret, label: &[u8], context: &[u8]) -> Secret {
    let mut bytes = [0; 48];
    let output = bytes.get_mut(..hash.length()).unwrap_or_default();
    expand_label(hash, secret, label, context, output);
    let derived = Secret::new(output);
    bytes.zeroize();
    derived
}

/// HKDF-Expand-Label (RFC 8446 section 7.1); `label` is without its prefix, and short, as all
/// of this protocol's and of QUIC's are.
pub fn expand_label(hash: Hash, secret: &Secret, label: &[u8], context: &[u8], output: &mut [u8]) {
    const PREFIX: &[u8] = b"tls13 ";
    let length = (output.len() as u16).to_be_bytes();
    let label_length = [(PREFIX.len() + label.len()) as u8];
    let context_length = [context.len() as u8];
    let info = [&length[..], &label_length, PREFIX, label, &context_length, context];
    expand(hash, secret, &info, output);
}
