//! A forger: he has the key, so whatever he writes opens, and none of it need be true.

use std::num::NonZeroU32;
use std::sync::Arc;

use sonae_types::{Digest, Timestamp};

use crate::blob::{BlobEntry, BlobKind};
use crate::compress::Squeezer;
use crate::crypto::{KdfCost, Password, fresh_iv};
use crate::hash::sha256;
use crate::index::{IndexedPack, encode_index};
use crate::json::to_go_json;
use crate::pack::plain_header;
use crate::repository::Repository;
use crate::snapshot::{Point, Snapshot};
use crate::store::{FileKind, FileName, ObjectStore};
use crate::testing::environment;
use crate::time::to_rfc3339;
use crate::tree::{Node, NodeKind, encode_tree};

/// The password of every forged repository.
pub const PASSWORD: &[u8] = b"secret";

/// Writes lies into a repository of its own.
#[derive(Clone, Debug)]
pub struct Forger {
    repository: Repository,
}

/// What is sealed as one blob, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgedBlob {
    /// Its kind, as said.
    pub kind: BlobKind,
    /// Its id, as said.
    pub id: Digest,
    /// What is sealed.
    pub text: Vec<u8>,
    /// The length of its plaintext, as said; none for a raw blob.
    pub expanded: Option<NonZeroU32>,
}

/// A part of a repository, in the form in which it can be bent before it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The JSON of the configuration.
    Config,
    /// What is sealed as a blob: a zstd frame, or the plaintext itself.
    Frame,
    /// The plaintext of a header.
    Header,
    /// The last four bytes of a pack.
    Trailer,
    /// A whole pack.
    Pack,
    /// A folder listing.
    Tree,
    /// A manifest.
    Manifest,
    /// The JSON of an index file.
    Index,
    /// The JSON of a snapshot.
    Snapshot,
    /// The JSON of a lock.
    Lock,
    /// What is sealed as an unpacked file: the mark and the frame.
    Unpacked,
}

/// Bends one part after another, in the order in which they are written.
pub type Bend<'a> = &'a mut dyn FnMut(Part, Vec<u8>) -> Vec<u8>;

impl Part {
    /// Every part.
    pub const ALL: [Self; 11] = [
        Self::Config,
        Self::Frame,
        Self::Header,
        Self::Trailer,
        Self::Pack,
        Self::Tree,
        Self::Manifest,
        Self::Index,
        Self::Snapshot,
        Self::Lock,
        Self::Unpacked,
    ];
}

impl ForgedBlob {
    /// A blob about which everything is true, stored raw.
    #[must_use]
    pub fn raw(kind: BlobKind, plain: &[u8]) -> Self {
        Self { kind, id: sha256(plain), text: plain.to_vec(), expanded: None }
    }

    /// A blob about which everything is true, stored as a frame.
    #[must_use]
    pub fn squeezed(kind: BlobKind, plain: &[u8]) -> Self {
        let mut text = Vec::new();
        Squeezer::new().squeeze_onto(plain, &mut text);
        let expanded = u32::try_from(plain.len()).ok().and_then(NonZeroU32::new);
        Self { kind, id: sha256(plain), text, expanded }
    }

    /// The blob with another length said of its plaintext.
    #[must_use]
    pub fn claiming(self, expanded: u32) -> Self {
        Self { expanded: NonZeroU32::new(expanded), ..self }
    }
}

impl Forger {
    /// A forger over an empty store. Panics where no repository can be made.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        let password = Password::from_file_bytes(PASSWORD);
        let repository = Repository::init(store, environment(), &password, KdfCost::FOR_TESTS);
        Self { repository: repository.expect("an empty store takes a repository") }
    }

    /// The repository as its maker has it open.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Stores these bytes under the hash of them.
    pub fn put(&self, kind: FileKind, bytes: &[u8]) -> Digest {
        let id = sha256(bytes);
        self.put_as(FileName::Hashed(kind, id), bytes);
        id
    }

    /// Seals this plaintext and stores it.
    pub fn put_sealed(&self, kind: FileKind, plain: &[u8]) -> Digest {
        self.put(kind, &self.seal(plain))
    }

    /// Stores a JSON document as an unpacked file.
    pub fn put_json(&self, kind: FileKind, json: &[u8]) -> Digest {
        self.put_bent(kind, json, &mut |_, bytes| bytes)
    }

    /// The same, its sealed plaintext bent.
    pub fn put_bent(&self, kind: FileKind, json: &[u8], bend: Bend<'_>) -> Digest {
        let mut plain = vec![2];
        Squeezer::new().squeeze_onto(json, &mut plain);
        self.put_sealed(kind, &bend(Part::Unpacked, plain))
    }

    /// Replaces the configuration.
    pub fn put_config(&self, json: &[u8]) {
        self.repository.store.remove(FileName::Config).expect("there is one");
        self.put_as(FileName::Config, &self.seal(json));
    }

    /// Stores a pack of these blobs; answers it as its header says.
    pub fn pack(&self, blobs: &[ForgedBlob]) -> IndexedPack {
        self.pack_bent(blobs, &mut |_, bytes| bytes)
    }

    /// The same, with its parts bent; what is answered is the truth.
    pub fn pack_bent(&self, blobs: &[ForgedBlob], bend: Bend<'_>) -> IndexedPack {
        let (mut bytes, mut entries) = (Vec::new(), Vec::new());
        for blob in blobs {
            let sealed = self.seal(&bend(Part::Frame, blob.text.clone()));
            let [offset, length] =
                [bytes.len(), sealed.len()].map(|n| u32::try_from(n).expect("a forged pack is short"));
            let ForgedBlob { kind, id, expanded, .. } = *blob;
            entries.push(BlobEntry { kind, id, offset, length, expanded });
            bytes.extend(sealed);
        }
        let header = self.seal(&bend(Part::Header, plain_header(&entries)));
        let len = u32::try_from(header.len()).expect("a forged header is short");
        bytes.extend(header);
        bytes.extend(bend(Part::Trailer, len.to_le_bytes().to_vec()));
        IndexedPack { id: self.put(FileKind::Data, &bend(Part::Pack, bytes)), blobs: entries }
    }

    /// Stores an index file that lists these packs.
    pub fn index(&self, packs: &[IndexedPack]) -> Digest {
        self.put_json(FileKind::Index, &encode_index(packs))
    }

    /// Stores and indexes a folder listing, without a look at its bytes.
    pub fn tree(&self, json: &[u8]) -> Digest {
        let blob = ForgedBlob::squeezed(BlobKind::Tree, json);
        self.index(&[self.pack(std::slice::from_ref(&blob))]);
        blob.id
    }

    /// Stores and indexes a folder with these entries.
    pub fn folder(&self, nodes: Vec<Node>) -> Digest {
        self.tree(&encode_tree(nodes, Timestamp::from_micros(0)))
    }

    /// A snapshot of the machine `vm` with this root folder.
    #[must_use]
    pub fn snapshot(tree: Digest) -> Snapshot {
        let at = to_rfc3339(Timestamp::from_micros(0));
        let json = serde_json::json!({ "time": at, "tree": tree, "paths": ["/vm"], "hostname": "vm" });
        serde_json::from_value(json).expect("these are the fields that a snapshot must have")
    }

    /// Saves a point.
    pub fn point(&self, snapshot: Snapshot) -> Point {
        let id = self.put_json(FileKind::Snapshot, &to_go_json(&snapshot));
        Point { id, snapshot }
    }

    /// Saves a point of the machine `vm` whose disk `vda` says that it has this size and these chunks.
    pub fn disk(&self, size: u64, content: Vec<Digest>) -> Point {
        let file = Node { name: "disk-vda.raw".to_owned(), kind: NodeKind::File { size, content } };
        let folder = Node { name: "vm".to_owned(), kind: NodeKind::Folder(self.folder(vec![file])) };
        self.point(Self::snapshot(self.folder(vec![folder])))
    }

    fn put_as(&self, name: FileName, bytes: &[u8]) {
        self.repository.store.put(name, bytes).expect("the forger's store takes what he writes");
    }

    fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let iv = fresh_iv(&*self.repository.environment.entropy);
        self.repository.key.seal_onto(iv, plain, &mut sealed);
        sealed
    }
}
