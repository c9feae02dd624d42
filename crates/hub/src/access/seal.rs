//! What a browser keeps for the hub and cannot read or change: encrypted, so that any replica with the same key takes it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Of a secret's file.
const LEAST_BYTES: usize = 32;
/// What is sealed, without its compression.
const MOST_BYTES: usize = 64 << 10;
/// Of a cookie: browsers take 4,096 with its name and attributes.
const MOST_TEXT: usize = 3800;

pub struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

/// It does not fit into a cookie.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Seal {
    /// With the secret in a file, or one that nobody else has.
    ///
    /// # Errors
    /// The file cannot be read, or is too short.
    pub fn new(file: Option<&Path>) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let failed = |name, reason: &str| Error::Secret {
            path: file.unwrap_or(Path::new("/dev/urandom")).into(),
            name,
            reason: reason.to_owned(),
        };
        let name = "access.session_key";
        let key: [u8; 32] = match file {
            Some(path) => {
                let text = std::fs::read(path).map_err(|error| failed(name, &error.to_string()))?;
                let text = text.trim_ascii();
                if text.len() < LEAST_BYTES {
                    return Err(failed(name, "it is shorter than 32 bytes"));
                }
                let hash = digest(&SHA256, text);
                hash.as_ref().try_into().map_err(|_| failed(name, "it cannot be used"))?
            }
            None => bytes(&random).ok_or_else(|| failed(name, "the system gives no randomness"))?,
        };
        let key =
            UnboundKey::new(&AES_256_GCM, &key).map_err(|_| failed(name, "it cannot be used"))?;
        Ok(Self { key: LessSafeKey::new(key), random })
    }

    /// So many random bytes, as text; `None`: the system has none.
    pub fn random<const N: usize>(&self) -> Option<String> {
        bytes::<N>(&self.random).map(|it| BASE64.encode(it))
    }

    /// What is sealed for one purpose cannot be opened for another.
    ///
    /// # Errors
    /// It has too much in it.
    pub fn seal(&self, purpose: &str, value: &impl Serialize) -> Result<String, TooLong> {
        let plain = serde_json::to_vec(value).map_err(|_| TooLong)?;
        if plain.len() > MOST_BYTES {
            return Err(TooLong);
        }
        let mut text = zstd::bulk::compress(&plain, 3).map_err(|_| TooLong)?;
        let nonce = bytes::<NONCE_LEN>(&self.random).ok_or(TooLong)?;
        let aad = Aad::from(purpose.as_bytes());
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, aad, &mut text).map_err(|_| TooLong)?;
        let sealed = BASE64.encode([&nonce[..], &text].concat());
        if sealed.len() > MOST_TEXT { Err(TooLong) } else { Ok(sealed) }
    }

    pub fn open<T: DeserializeOwned>(&self, purpose: &str, sealed: &str) -> Option<T> {
        let mut bytes = BASE64.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(purpose.as_bytes());
        let plain = self.key.open_in_place(nonce, aad, text).ok()?;
        let plain = zstd::bulk::decompress(plain, MOST_BYTES).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

fn bytes<const N: usize>(random: &SystemRandom) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    random.fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_only_for_the_same_purpose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "short").unwrap();
        assert!(Seal::new(Some(&path)).is_err_and(|it| it.to_string().contains("shorter")));
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let [one, same] = [(); 2].map(|()| Seal::new(Some(&path)).unwrap());
        let sealed = one.seal("session", &"kim").unwrap();
        assert!(!sealed.contains("kim"));
        let check = |seal: &Seal, purpose, text: &str, expected: Option<&str>| {
            assert_eq!(seal.open::<String>(purpose, text).as_deref(), expected, "{text}");
        };
        check(&same, "session", &sealed, Some("kim"));
        check(&same, "login", &sealed, None);
        check(&Seal::new(None).unwrap(), "session", &sealed, None);
        let mut changed = sealed.clone().into_bytes();
        changed[20] ^= 1;
        check(&one, "session", std::str::from_utf8(&changed).unwrap(), None);
        check(&one, "session", "", None);
        assert_ne!(sealed, one.seal("session", &"kim").unwrap());
        let long: Vec<String> = (0..2000).map(|_| one.random::<16>().unwrap()).collect();
        assert_eq!(one.seal("session", &long), Err(TooLong));
    }
}
