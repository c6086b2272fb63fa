//! Reading what a repository holds: points, the index, blobs and trees. Every answer was decrypted and hashed.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use sonae_types::Digest;

use crate::blob::{BlobError, BlobKind, BlobOpener};
use crate::index::{Index, IndexError, IndexedPack, Location, decode_index};
use crate::repository::Repository;
use crate::room::{Room, Taken};
use crate::snapshot::{POINTS_BYTES_MAX, Point, decode_snapshot};
use crate::store::{FileKind, FileName, Listed, StoreError};
use crate::tree::{Node, NodeKind, TreeError, decode_tree};
use crate::unpacked::{UnpackedError, check_stored_size, decode_unpacked};
use crate::verify::PackError;

/// Something in a repository cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An unpacked file is damaged.
    #[error("{file} is damaged")]
    Unpacked {
        /// The file.
        file: FileName,
        /// How.
        #[source]
        cause: UnpackedError,
    },
    /// An index file has no index in it.
    #[error("{file} is damaged")]
    Index {
        /// The file.
        file: FileName,
        /// How.
        #[source]
        cause: IndexError,
    },
    /// A snapshot file has no snapshot in it.
    #[error("{file} is damaged")]
    Snapshot {
        /// The file.
        file: FileName,
        /// How.
        #[source]
        cause: serde_json::Error,
    },
    /// No index file knows the blob.
    #[error("{kind:?} blob {id} is in no index")]
    Missing {
        /// What it should be.
        kind: BlobKind,
        /// Its id.
        id: Digest,
    },
    /// The blob is damaged in its pack.
    #[error("pack {pack} is damaged")]
    Blob {
        /// The pack.
        pack: Digest,
        /// How.
        #[source]
        cause: BlobError,
    },
    /// The pack is not what its name or its index says.
    #[error("pack {pack} is damaged")]
    Pack {
        /// The pack.
        pack: Digest,
        /// How.
        #[source]
        cause: PackError,
    },
    /// A tree blob has no tree in it.
    #[error("tree {id} is damaged")]
    Tree {
        /// The tree.
        id: Digest,
        /// How.
        #[source]
        cause: TreeError,
    },
    /// A point has no such file.
    #[error("point {point} has no {path}")]
    NoSuchPath {
        /// The point.
        point: Digest,
        /// The path asked for.
        path: String,
    },
}

impl ReadError {
    /// Whether the repository itself is damaged, as opposed to out of reach or asked for what it never had.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error, StoreError::NotFound { .. } | StoreError::Short { .. }),
            Self::NoSuchPath { .. } => false,
            Self::Unpacked { .. }
            | Self::Index { .. }
            | Self::Snapshot { .. }
            | Self::Missing { .. }
            | Self::Blob { .. }
            | Self::Pack { .. }
            | Self::Tree { .. } => true,
        }
    }
}

/// A snapshot or index file that cannot be read, beside those that can.
#[derive(Debug)]
pub struct DamagedFile {
    /// Its id.
    pub id: Digest,
    /// Why.
    pub cause: ReadError,
}

/// The index, as far as its files can be read.
#[derive(Debug, Default)]
pub struct LoadedIndex {
    /// What the readable files list.
    pub index: Index,
    /// The others.
    pub damaged: Vec<DamagedFile>,
}

/// The index files one by one.
#[derive(Debug, Default)]
pub struct IndexFiles {
    /// Readable ones, with what they list.
    pub good: Vec<(Digest, Vec<IndexedPack>)>,
    /// The others.
    pub damaged: Vec<DamagedFile>,
}

impl IndexFiles {
    /// What the readable files list together.
    #[must_use]
    pub fn index(&self) -> Index {
        let mut index = Index::default();
        self.good.iter().flat_map(|(_, packs)| packs).for_each(|pack| index.add(pack));
        index
    }
}

/// All points of a repository, oldest first, and the files that should be points and cannot be read.
#[derive(Debug, Default)]
pub struct Points {
    /// Readable ones.
    pub good: Vec<Point>,
    /// Unreadable ones.
    pub damaged: Vec<DamagedFile>,
}

impl Points {
    /// The newest of these points.
    ///
    /// Points that Sonae wrote are counted, and the count decides between them: a clock that jumped back must not make
    /// an older point the newest.
    pub fn newest(&self, of: impl Fn(&Point) -> bool) -> Option<&Point> {
        let newest = self.good.iter().rfind(|point| of(point))?;
        if newest.snapshot.generation().is_none() {
            return Some(newest);
        }
        // The last of equals, which is the later one.
        self.good.iter().filter(|point| of(point)).max_by_key(|point| point.snapshot.generation())
    }
}

impl Repository {
    /// Lists the points. One that is damaged hides no other.
    pub fn points(&self) -> Result<Points, ReadError> {
        let files = self.store.list(FileKind::Snapshot)?;
        let mut points = Points::default();
        let taken = AtomicU64::new(0);
        for (id, answer) in in_parallel(&files, |file, ahead| self.listed_point(file, ahead, &taken)) {
            match answer {
                Ok(point) => points.good.push(point),
                // Removed since the listing.
                Err(ReadError::Store(error)) if error.is_not_found() => {}
                Err(cause) if cause.is_damage() => points.damaged.push(DamagedFile { id, cause }),
                Err(cause) => return Err(cause),
            }
        }
        points.good.sort_by_key(|point| (point.snapshot.taken_at(), point.id));
        // A listing that names a point twice must not make two of it, of which one may go.
        points.good.dedup_by_key(|point| point.id);
        Ok(points)
    }

    /// Reads one point.
    pub fn point(&self, id: Digest) -> Result<Point, ReadError> {
        let size = self.store.size(FileName::Hashed(FileKind::Snapshot, id))?;
        self.listed_point(&Listed { id, size }, &Ahead::default(), &AtomicU64::new(0))
    }

    /// Reads one of many points, which together take no more memory than is good for us.
    fn listed_point(&self, listed: &Listed, ahead: &Ahead, taken: &AtomicU64) -> Result<Point, ReadError> {
        let id = listed.id;
        let file = FileName::Hashed(FileKind::Snapshot, id);
        self.with_unpacked(FileKind::Snapshot, listed, ahead, |json| {
            let snapshot = decode_snapshot(json).map_err(|cause| ReadError::Snapshot { file, cause })?;
            let more = snapshot.memory_bytes();
            if POINTS_BYTES_MAX < taken.fetch_add(more, Ordering::Relaxed).saturating_add(more) {
                return Err(ReadError::Unpacked { file, cause: UnpackedError::TooMany });
            }
            Ok(Point { id, snapshot })
        })
    }

    /// Reads all index files. List the points before, never after: a point listed later may need a newer index.
    ///
    /// Errors: the first damaged file, so that a writer never builds on half an index.
    pub fn load_index(&self) -> Result<Index, ReadError> {
        let mut loaded = self.load_index_around_damage()?;
        match loaded.damaged.pop() {
            Some(damage) => Err(damage.cause),
            None => Ok(loaded.index),
        }
    }

    /// Reads all index files that can be read, and says which cannot: what the others list can still be restored.
    pub fn load_index_around_damage(&self) -> Result<LoadedIndex, ReadError> {
        let files = self.index_files()?;
        Ok(LoadedIndex { index: files.index(), damaged: files.damaged })
    }

    /// Reads every index file for itself.
    pub fn index_files(&self) -> Result<IndexFiles, ReadError> {
        let files = self.store.list(FileKind::Index)?;
        let mut read = IndexFiles::default();
        for (id, packs) in in_parallel(&files, |file, ahead| self.listed_index_file(file, ahead)) {
            match packs {
                Ok(packs) => read.good.push((id, packs)),
                // Replaced by a newer file since the listing, which a prune does only under an exclusive lock; then we
                // hold no lock and the caller's look-ups tell what is missing.
                Err(ReadError::Store(error)) if error.is_not_found() => {}
                Err(cause) if cause.is_damage() => read.damaged.push(DamagedFile { id, cause }),
                Err(cause) => return Err(cause),
            }
        }
        Ok(read)
    }

    /// Reads one index file.
    pub fn index_file(&self, id: Digest) -> Result<Vec<IndexedPack>, ReadError> {
        let size = self.store.size(FileName::Hashed(FileKind::Index, id))?;
        self.listed_index_file(&Listed { id, size }, &Ahead::default())
    }

    fn listed_index_file(&self, listed: &Listed, ahead: &Ahead) -> Result<Vec<IndexedPack>, ReadError> {
        let file = FileName::Hashed(FileKind::Index, listed.id);
        self.with_unpacked(FileKind::Index, listed, ahead, |json| {
            decode_index(json).map_err(|cause| ReadError::Index { file, cause })
        })
    }

    /// Reads a blob, from the next place when one is damaged or gone.
    pub fn blob<'a>(
        &self,
        index: &Index,
        kind: BlobKind,
        id: Digest,
        opener: &'a mut BlobOpener,
    ) -> Result<&'a [u8], ReadError> {
        let mut answer = ReadError::Missing { kind, id };
        for place in index.locations(kind, id) {
            let opened = self.sealed_blob(&place).and_then(|sealed| {
                opener
                    .open(&self.key, &place.blob, &sealed)
                    .map(<[u8]>::len)
                    .map_err(|cause| ReadError::Blob { pack: place.pack, cause })
            });
            match opened {
                Ok(len) => return Ok(opener.opened(len)),
                Err(error) => answer = error,
            }
        }
        Err(answer)
    }

    /// Reads the listing of a folder.
    pub fn tree(&self, index: &Index, id: Digest, opener: &mut BlobOpener) -> Result<Vec<Node>, ReadError> {
        let bytes = self.blob(index, BlobKind::Tree, id, opener)?;
        decode_tree(bytes).map_err(|cause| ReadError::Tree { id, cause })
    }

    /// Reads a small file whole, such as a manifest. Of a longer one than `limit` no more is read than shows that.
    pub fn file_bytes(&self, index: &Index, node: &Node, limit: usize) -> Result<Vec<u8>, ReadError> {
        let mut opener = BlobOpener::default();
        let mut bytes = Vec::new();
        if let NodeKind::File { content, .. } = &node.kind {
            for id in content {
                bytes.extend_from_slice(self.blob(index, BlobKind::Data, *id, &mut opener)?);
                if limit < bytes.len() {
                    break;
                }
            }
        }
        Ok(bytes)
    }

    /// Finds a file or folder in a point by its path, `/` being the point's root.
    pub fn find(&self, index: &Index, point: &Point, path: &str) -> Result<Node, ReadError> {
        let missing = || ReadError::NoSuchPath { point: point.id, path: path.to_owned() };
        let mut opener = BlobOpener::default();
        let mut node = Node { name: String::new(), kind: NodeKind::Folder(point.snapshot.tree) };
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let NodeKind::Folder(tree) = node.kind else { return Err(missing()) };
            node = self
                .tree(index, tree, &mut opener)?
                .into_iter()
                .find(|node| node.name == part)
                .ok_or_else(missing)?;
        }
        Ok(node)
    }

    pub(crate) fn sealed_blob(&self, place: &Location) -> Result<Vec<u8>, ReadError> {
        place.blob.check_lengths().map_err(|cause| ReadError::Blob { pack: place.pack, cause })?;
        let mut sealed = vec![0; place.blob.length as usize];
        self.store.get_range(
            FileName::Hashed(FileKind::Data, place.pack),
            u64::from(place.blob.offset),
            &mut sealed,
        )?;
        Ok(sealed)
    }

    /// The JSON document in a file.
    pub fn unpacked(&self, kind: FileKind, listed: &Listed) -> Result<Vec<u8>, ReadError> {
        self.with_unpacked(kind, listed, &Ahead::default(), |json| Ok(json.to_vec()))
    }

    /// Fetches an unpacked file, many at once, and hands over what it holds, one processor for each.
    fn with_unpacked<T>(
        &self,
        kind: FileKind,
        &Listed { id, size }: &Listed,
        ahead: &Ahead,
        read: impl FnOnce(&[u8]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let file = FileName::Hashed(kind, id);
        let damaged = |cause| ReadError::Unpacked { file, cause };
        check_stored_size(size).map_err(damaged)?;
        let _room = ahead.bytes.take(size.get());
        let sealed = self.store.get(file)?;
        let _turn = ahead.turn();
        read(&decode_unpacked(&self.key, kind, id, &sealed).map_err(damaged)?)
    }
}

/// Number of threads for work that keeps processors busy.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Files that are asked for at once.
const FILES_AT_ONCE: usize = 16;
/// Bytes of files that are fetched, or on their way, before they are opened; one larger file passes alone.
const AHEAD_BYTES_MAX: u64 = 32 << 20;

/// What bounds files that are fetched at once: a store behind a network answers many as fast as one.
#[derive(Debug)]
pub(crate) struct Ahead {
    bytes: Room,
    /// Opening takes a processor, and many times the memory of what is stored.
    openers: Room,
}

impl Ahead {
    /// Waits for a processor.
    pub(crate) fn turn(&self) -> Taken<'_> {
        self.openers.take(1)
    }
}

impl Default for Ahead {
    fn default() -> Self {
        Self { bytes: Room::new(AHEAD_BYTES_MAX), openers: Room::new(processors() as u64) }
    }
}

/// Does the same to every listed file, many at once; answers in the order of the listing.
pub(crate) fn in_parallel<T: Send>(
    files: &[Listed],
    work: impl Fn(&Listed, &Ahead) -> T + Sync,
) -> Vec<(Digest, T)> {
    let threads = FILES_AT_ONCE.min(files.len());
    let ahead = Ahead::default();
    let next = AtomicUsize::new(0);
    let mut answers = std::thread::scope(|scope| {
        let workers = (0..threads).map(|_| {
            scope.spawn(|| {
                let mut answers = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(at) else { return answers };
                    answers.push((at, file.id, work(file, &ahead)));
                }
            })
        });
        let workers = workers.collect::<Vec<_>>();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a reading thread does not panic"))
            .collect::<Vec<_>>()
    });
    answers.sort_by_key(|(at, _, _)| *at);
    answers.into_iter().map(|(_, id, answer)| (id, answer)).collect()
}
