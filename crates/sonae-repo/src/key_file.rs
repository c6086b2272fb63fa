//! Key files: the master key, sealed under one password each. Plain JSON, named by its SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sonae_types::{ByteCount, Digest, Timestamp};
use zeroize::Zeroizing;

use crate::crypto::{
    CipherKey, Forged, KdfCost, KdfError, KeyMaterial, Password, SALT_BYTES, derive, fresh_iv,
};
use crate::environment::Environment;
use crate::hash::sha256;
use crate::json::to_go_json;
use crate::time::{from_rfc3339, to_rfc3339};

/// Longest key file that is read; one has about 500 bytes.
pub const KEY_FILE_BYTES_MAX: ByteCount = ByteCount::kib(64);

/// A key file as it lies in the repository; nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFile {
    // Only for people to read. rustic leaves all three out.
    #[serde(default)]
    created: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

/// A key file does not give the master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The password is not the one of this file.
    #[error("the password does not open it")]
    WrongPassword(#[source] Forged),
    /// Its name is not the hash of its bytes.
    #[error("damaged: its bytes hash to {found}")]
    Name {
        /// What they hash to.
        found: Digest,
    },
    /// Longer than any key file.
    #[error("damaged: {size} are too many for a key file")]
    TooLong {
        /// Its size.
        size: ByteCount,
    },
    /// Not the JSON of a key file.
    #[error("damaged: not a key file")]
    Json(#[source] serde_json::Error),
    /// It names a derivation that we do not know.
    #[error("its key derivation {0:?} is unknown, only scrypt is")]
    Kdf(String),
    /// Its parameters are not usable.
    #[error("damaged: its parameters are not usable")]
    Cost(#[source] KdfError),
    /// Its salt or its data is not base64, or of the wrong length.
    #[error("damaged: its {field} is invalid")]
    Field {
        /// Which field.
        field: &'static str,
    },
    /// The password opened it, and what is inside is no master key.
    #[error("damaged: it holds no master key")]
    Master,
}

#[derive(Serialize, Deserialize)]
struct MasterJson {
    mac: MacJson,
    encrypt: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
struct MacJson {
    k: Zeroizing<String>,
    r: Zeroizing<String>,
}

impl KeyFile {
    /// A key file that gives `master` for `password`.
    #[must_use]
    pub fn create(
        environment: &Environment,
        master: &KeyMaterial,
        password: &Password,
        cost: KdfCost,
    ) -> Self {
        let mut salt = [0; SALT_BYTES];
        environment.entropy.fill(&mut salt);
        let user = CipherKey::new(&derive(password, &salt, cost));
        let mut sealed = Vec::new();
        user.seal_onto(fresh_iv(&*environment.entropy), &MasterJson::encode(master), &mut sealed);
        Self {
            created: to_rfc3339(environment.clock.now()),
            username: environment.worker.username.clone(),
            hostname: environment.worker.hostname.clone(),
            kdf: "scrypt".to_owned(),
            n: cost.n(),
            r: cost.r,
            p: cost.p,
            salt: BASE64.encode(salt),
            data: BASE64.encode(sealed),
        }
    }

    /// Name and bytes as stored.
    #[must_use]
    pub fn encode(&self) -> (Digest, Vec<u8>) {
        let bytes = to_go_json(self);
        (sha256(&bytes), bytes)
    }

    /// Makes sure that a stored file can be a key file, before it is read into memory. Errors: [`KeyFileError::TooLong`].
    pub fn check_size(size: ByteCount) -> Result<(), KeyFileError> {
        if size <= KEY_FILE_BYTES_MAX { Ok(()) } else { Err(KeyFileError::TooLong { size }) }
    }

    /// The key file in these stored bytes. Errors: [`KeyFileError::Name`], [`KeyFileError::Json`].
    pub fn decode(id: Digest, bytes: &[u8]) -> Result<Self, KeyFileError> {
        let found = sha256(bytes);
        if found != id {
            return Err(KeyFileError::Name { found });
        }
        serde_json::from_slice(bytes).map_err(KeyFileError::Json)
    }

    /// When the password was added; none where the file does not say.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        from_rfc3339(&self.created)
    }

    /// Who added it.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// On which machine.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// What a guess of its password costs. Errors: [`KeyFileError::Kdf`], [`KeyFileError::Cost`].
    pub fn cost(&self) -> Result<KdfCost, KeyFileError> {
        if self.kdf != "scrypt" {
            return Err(KeyFileError::Kdf(self.kdf.clone()));
        }
        KdfCost::parse(self.n, self.r, self.p).map_err(KeyFileError::Cost)
    }

    /// The master key. Errors: [`KeyFileError`].
    pub fn open(&self, password: &Password) -> Result<KeyMaterial, KeyFileError> {
        let cost = self.cost()?;
        let salt = decode_field(&self.salt, "salt")?;
        let salt = salt.try_into().map_err(|_wrong_length| KeyFileError::Field { field: "salt" })?;
        let data = decode_field(&self.data, "data")?;
        let user = CipherKey::new(&derive(password, &salt, cost));
        let json = Zeroizing::new(user.open(&data).map_err(KeyFileError::WrongPassword)?);
        MasterJson::decode(&json).ok_or(KeyFileError::Master)
    }
}

impl MasterJson {
    fn encode(master: &KeyMaterial) -> Zeroizing<Vec<u8>> {
        let text = |bytes: &[u8]| Zeroizing::new(BASE64.encode(bytes));
        let mac = MacJson { k: text(&master.mac_k), r: text(&master.mac_r) };
        Zeroizing::new(to_go_json(&Self { mac, encrypt: text(&master.encrypt) }))
    }

    fn decode(json: &[u8]) -> Option<KeyMaterial> {
        let master: Self = serde_json::from_slice(json).ok()?;
        let bytes = |text: &str| BASE64.decode(text).ok();
        Some(KeyMaterial {
            encrypt: bytes(&master.encrypt)?.try_into().ok()?,
            mac_k: bytes(&master.mac.k)?.try_into().ok()?,
            mac_r: bytes(&master.mac.r)?.try_into().ok()?,
        })
    }
}

fn decode_field(text: &str, field: &'static str) -> Result<Vec<u8>, KeyFileError> {
    BASE64.decode(text).map_err(|_not_base64| KeyFileError::Field { field })
}
