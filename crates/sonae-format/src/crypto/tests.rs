//! Vectors of Poly1305-AES as its author published them, of AES-CTR and scrypt from their standards, and properties.

use proptest::prelude::*;

use super::*;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    hex_vec(text).try_into().unwrap()
}

fn hex_vec(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn key(encrypt: [u8; 32], k: [u8; 16], r: [u8; 16]) -> CipherKey {
    CipherKey::new(&KeyMaterial { encrypt, mac_k: k, mac_r: r })
}

#[test]
fn the_mac_gives_the_published_poly1305_aes_vectors() {
    let vectors = [
        (
            "f3f6",
            "851fc40c3467ac0be05cc20404f3f700",
            "ec074c835580741701425b623235add6",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f4c633c3044fc145f84f335cb81953de",
        ),
        (
            "",
            "a0f3080000f46400d0c7e9076c834403",
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "dd3fab2251f11ac759f0887129cc2ee7",
        ),
        (
            "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
            "48443d0bb0d21109c89a100b5ce2c208",
            "6acb5f61a7176dd320c5c1eb2edcdc74",
            "ae212a55399729595dea458bc621ff0e",
            "0ee1c16bb73f0f4fd19881753c01cdbe",
        ),
        (
            "ab0812724a7f1e342742cbed374d94d136c6b8795d45b3819830f2c04491faf0990c62e48b8018b2c3e4a0fa3134cb67fa83e158c994d961c4cb21095c1bf9",
            "12976a08c4426d0ce8a82407c4f48207",
            "e1a5668a4d5b66a5f68cc5424ed5982d",
            "9ae831e743978d3a23527c7128149e3a",
            "5154ad0d2cb26e01274fc51148491f1b",
        ),
    ];
    for (message, r, k, nonce, mac) in vectors {
        assert_eq!(
            key([0; 32], hex(k), hex(r)).mac(hex(nonce), &hex_vec(message)),
            hex::<16>(mac),
            "{message}"
        );
    }
}

/// NIST SP 800-38A, F.5.5: CTR-AES256.
#[test]
fn the_cipher_gives_the_published_aes_256_ctr_vector() {
    let key = key(hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"), [1; 16], [2; 16]);
    let plain = hex_vec("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    let mut sealed = Vec::new();
    key.seal_onto(hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), &plain, &mut sealed);
    let text = hex_vec("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5");
    assert_eq!(sealed[16..48], text);
    assert_eq!(key.open(&sealed).unwrap(), plain);
}

/// RFC 7914, section 12, second vector, by way of the parameters; the salt there is shorter than ours, so the crate's
/// function is asked directly.
#[test]
fn scrypt_gives_the_published_vector() {
    let mut out = [0; 64];
    scrypt::scrypt(b"password", b"NaCl", &scrypt::Params::new(10, 8, 16).unwrap(), &mut out).unwrap();
    assert_eq!(out[..16], hex::<16>("fdbabe1c9d3472007856e7190d01e9fe"));
}

#[test]
fn hostile_kdf_parameters_are_refused_before_any_memory_is_taken() {
    for (n, r, p) in [
        (0, 8, 1),
        (1, 8, 1),
        (3, 8, 1),
        (1 << 40, 8, 1),
        (1 << 20, 8192, 1),
        (1 << 15, 8, 0),
        (1 << 15, 0, 1),
        (1 << 15, 8, 65),
        (1 << 63, 1 << 30, 1),
        (1 << 20, 8, 3),
        (1 << 16, 8, 64),
    ] {
        assert!(KdfCost::parse(n, r, p).is_err(), "{n} {r} {p}");
    }
    assert_eq!(KdfCost::parse(65536, 8, 1), Ok(KdfCost::STANDARD));
}

#[test]
fn white_space_around_it_does_not_belong_to_the_password_as_in_restic() {
    let plain = |bytes: &[u8]| Password::from_file_bytes(bytes).0.to_vec();
    assert_eq!(plain(b"secret\n"), b"secret");
    assert_eq!(plain(b"secret\r\n"), b"secret");
    assert_eq!(plain(b" a secret \t\r\n\n"), b"a secret");
    assert_eq!(plain("\u{feff}\u{3000}秘密\u{3000}\n".as_bytes()), "秘密".as_bytes());
    assert_eq!(plain(b" \xff\n"), b"\xff");
    assert!(Password::from_file_bytes(b" \r\n").is_empty());
}

proptest! {
    #[test]
    fn what_was_sealed_opens_to_the_same_and_no_flipped_bit_goes_unnoticed(
        plain in proptest::collection::vec(any::<u8>(), 0..600), iv: [u8; 16], at: prop::sample::Index, bit in 0..8u8,
    ) {
        let key = key([7; 32], [8; 16], [9; 16]);
        let mut sealed = Vec::new();
        key.seal_onto(iv, &plain, &mut sealed);
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD_BYTES);
        prop_assert_eq!(key.open(&sealed).unwrap(), plain);
        let at = at.index(sealed.len());
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(key.open(&sealed), Err(Forged));
        prop_assert_eq!(key.open(&sealed[..at.min(31)]), Err(Forged));
    }
}
