//! From a password to key material: scrypt, with the parameters that each key file carries.

use scrypt::Params;
use zeroize::{Zeroize as _, Zeroizing};

use super::KeyMaterial;

/// Length of the salt in a key file; readers of the format insist on it.
pub const SALT_BYTES: usize = 64;

/// Most memory a key file may ask of us: `128 * N * r` bytes. A hostile file must not be able to exhaust the machine.
pub const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Most parallel lanes a key file may ask of us, for the same reason.
pub const LANES_MAX: u32 = 64;
/// Most work a key file may ask of us, all lanes together: 32 times that of [`KdfCost::STANDARD`], so that twenty hostile
/// files cost minutes and not hours.
pub const WORK_BYTES_MAX: u64 = 2 << 30;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A password as typed or read from a file, without white space around it; wiped from memory when dropped.
#[derive(Clone)]
pub struct Password(pub(super) Zeroizing<Vec<u8>>);

/// What one guess of a password costs: the scrypt parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfCost {
    /// log2 of `N`.
    pub log_n: u8,
    /// Block size.
    pub r: u32,
    /// Lanes.
    pub p: u32,
}

/// A key file asks for parameters that make no sense or would exhaust this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scrypt parameters N={n}, r={r}, p={p} are not usable")]
pub struct KdfError {
    /// `N` as written.
    pub n: u64,
    /// Block size as written.
    pub r: u32,
    /// Lanes as written.
    pub p: u32,
}

impl KdfCost {
    /// What new passwords cost: 64 MiB and about 0.2 s a guess on a server of 2026.
    pub const STANDARD: Self = Self { log_n: 16, r: 8, p: 1 };

    /// Nearly nothing; for tests, never for data.
    pub const FOR_TESTS: Self = Self { log_n: 4, r: 8, p: 1 };

    /// The cost that a key file states. Errors: [`KdfError`] unless `N` is a power of two above one and all of it
    /// stays within [`MEMORY_BYTES_MAX`], [`LANES_MAX`] and [`WORK_BYTES_MAX`].
    pub fn parse(n: u64, r: u32, p: u32) -> Result<Self, KdfError> {
        let error = KdfError { n, r, p };
        let memory = n.checked_mul(128).and_then(|bytes| bytes.checked_mul(u64::from(r))).ok_or(error)?;
        if n < 2 || !n.is_power_of_two() || r == 0 || p == 0 || LANES_MAX < p || MEMORY_BYTES_MAX < memory {
            return Err(error);
        }
        if WORK_BYTES_MAX < memory * u64::from(p) {
            return Err(error);
        }
        let log_n = u8::try_from(n.trailing_zeros()).expect("a u64 has at most 63 trailing zeros");
        Params::new(log_n, r, p).map_err(|_invalid| error)?;
        Ok(Self { log_n, r, p })
    }

    /// `N` itself.
    #[must_use]
    pub fn n(self) -> u64 {
        1 << self.log_n
    }

    /// Bytes that one guess fills and mixes, all lanes together.
    #[must_use]
    pub fn work_bytes(self) -> u64 {
        128 * self.n() * u64::from(self.r) * u64::from(self.p)
    }
}

impl Password {
    /// The password in these bytes: neither a byte-order mark nor white space around it belongs to it, exactly as in
    /// restic, so that one file opens a repository with either program.
    #[must_use]
    pub fn from_file_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        let text =
            std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| text.trim().as_bytes());
        Self(Zeroizing::new(text.to_vec()))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(secret)")
    }
}

/// The key material that `password` yields with this salt and cost.
#[must_use]
pub fn derive(password: &Password, salt: &[u8; SALT_BYTES], cost: KdfCost) -> KeyMaterial {
    let params = Params::new(cost.log_n, cost.r, cost.p).expect("a KdfCost holds checked parameters");
    let mut bytes = [0; 64];
    scrypt::scrypt(&password.0, salt, &params, &mut bytes).expect("64 bytes is a valid output length");
    let material = KeyMaterial::from_bytes(&bytes);
    bytes.zeroize();
    material
}
