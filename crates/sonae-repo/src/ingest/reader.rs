//! Reading one disk: holes are stepped over, data goes through the cutter, buffers of whole chunks go to the workers.

use std::ops::Range;

use crossbeam_channel::{Receiver, Sender};
use sonae_types::{ByteCount, ByteOffset, Digest, DiskError, DiskRead, ExtentKind};

use super::base::{Base, Reading};
use super::{Chunk, DiskInput, IngestError, Line};
use crate::chunk::{Cutter, PAGE_BYTES, Piece, Recut, Step, Stretch, ZERO_IDS, ZERO_RUN_BYTES_MIN};

const PAGE: u64 = PAGE_BYTES as u64;
/// How much is read at once, so that hashing starts while it is still in the processor's cache.
const READ_BYTES: u64 = 256 << 10;

/// Work for the workers.
pub(super) enum Job {
    /// A buffer with whole chunks of one disk.
    Chunks {
        /// Which disk.
        disk: usize,
        /// The bytes.
        buffer: Vec<u8>,
        /// Which of them are which chunk.
        places: Vec<Place>,
    },
    /// A zero chunk of a length that this disk had not met before.
    Zeros {
        /// Its length.
        len: u64,
    },
}

/// A chunk inside a buffer.
pub(super) struct Place {
    /// Its number on the disk.
    pub(super) slot: usize,
    /// Its first byte in the buffer.
    pub(super) start: usize,
    /// Its length.
    pub(super) len: usize,
    /// What it should turn out to be.
    pub(super) expected: Expected,
}

/// What a chunk should turn out to be.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// Nobody knows before.
    Anything,
    /// The same as in the parent.
    Chunk(Digest),
}

/// What the reader knows of a disk: all chunks, the ids of the data chunks still to come from the workers.
pub(super) struct DiskDraft {
    pub(super) slots: Vec<Slot>,
    pub(super) read: ByteCount,
    pub(super) audited: ByteCount,
}

/// One chunk as the reader leaves it.
pub(super) enum Slot {
    /// A zero chunk, whose id is known without hashing.
    Zeros(Chunk),
    /// A chunk of the parent.
    Inherited(Chunk),
    /// A data chunk of this length.
    Awaited(u32),
}

/// Where buffers come from and go to.
pub(super) struct Buffers<'a> {
    pub(super) free: &'a Receiver<Vec<u8>>,
    pub(super) jobs: &'a Sender<Job>,
    pub(super) bytes: usize,
}

struct DiskReader<'a, 'b, 'c> {
    line: &'a Line<'b, 'c>,
    disk: usize,
    source: &'a dyn DiskRead,
    buffers: &'a Buffers<'a>,
    cutter: Cutter,
    pieces: Vec<Piece>,
    buffer: Vec<u8>,
    /// How much of the buffer is filled.
    filled: usize,
    /// Where in the buffer the next data chunk begins.
    chunk_start: usize,
    places: Vec<Place>,
    zero_lens_met: std::collections::HashSet<u64>,
    draft: DiskDraft,
}

/// Reads the disk, or what changed of it. Errors: the source's, as [`IngestError::Source`]; [`IngestError::Stopped`].
pub(super) fn read_disk(
    line: &Line<'_, '_>,
    disk: usize,
    input: &DiskInput<'_>,
    buffers: &Buffers<'_>,
) -> Result<DiskDraft, IngestError> {
    let cutter = Cutter::new(line.ingest.repository.config().chunk_seed(), input.target);
    let mut reader = DiskReader {
        line,
        disk,
        source: input.disk,
        buffers,
        cutter,
        pieces: Vec::new(),
        buffer: reader_buffer(buffers),
        filled: 0,
        chunk_start: 0,
        places: Vec::new(),
        zero_lens_met: std::collections::HashSet::new(),
        draft: DiskDraft { slots: Vec::new(), read: ByteCount::ZERO, audited: ByteCount::ZERO },
    };
    let ended = match input.reading {
        Reading::Whole => reader.read_all(),
        Reading::Changed(base) => reader.read_changed(base),
    };
    if let Err(error) = ended {
        // The buffer goes back to the pool, or the readers of other disks would wait for it for ever.
        reader.places.clear();
        reader.send_places(Vec::new());
        return Err(error);
    }
    let source = |cause| IngestError::Source { disk, cause };
    input.disk.confirm_unchanged().map_err(source)?;
    Ok(reader.draft)
}

fn reader_buffer(buffers: &Buffers<'_>) -> Vec<u8> {
    let mut buffer = buffers.free.recv().expect("buffers are given back while the run lives");
    buffer.resize(buffers.bytes, 0);
    buffer
}

impl DiskReader<'_, '_, '_> {
    fn read_all(&mut self) -> Result<(), IngestError> {
        let end = self.source.size().get();
        self.read_stretch(Stretch { start: 0, end })?;
        self.finish();
        Ok(())
    }

    fn read_changed(&mut self, base: &Base) -> Result<(), IngestError> {
        let trimmed = base.trimmed(self.source).map_err(|cause| self.source_error(cause))?;
        let changed = base.changed.clone().and(trimmed);
        let mut recut = Recut::new(base.chunks.len(), |number| base.old(number), &changed);
        loop {
            match recut.step(&self.cutter) {
                Step::Inherit { chunks, at } => self.inherit(base, chunks, at)?,
                Step::Zeros(len) => {
                    self.cutter.zeros(len, &mut self.pieces);
                    self.take_pieces(self.filled);
                }
                Step::Read(stretch) => self.read_stretch(stretch)?,
                Step::EndZeros => {
                    self.cutter.end_zeros(&mut self.pieces);
                    self.take_pieces(self.filled);
                }
                Step::End => break,
            }
        }
        self.finish();
        Ok(())
    }

    /// Takes chunks over from the parent; those whose turn it is are read all the same.
    fn inherit(&mut self, base: &Base, chunks: Range<usize>, mut at: u64) -> Result<(), IngestError> {
        self.check()?;
        for chunk in &base.chunks[chunks] {
            let len = u64::from(chunk.len);
            if base.audit.is_due(at) {
                self.audit(*chunk, at)?;
            } else {
                self.draft.slots.push(Slot::Inherited(*chunk));
                self.line.ingest.progress.advance(ByteCount::new(len));
            }
            at += len;
        }
        Ok(())
    }

    /// Reads a chunk that is said to be unchanged. Whatever it is, the workers name and keep it as it was read.
    fn audit(&mut self, chunk: Chunk, at: u64) -> Result<(), IngestError> {
        self.check()?;
        let len = chunk.len as usize;
        if self.buffer.len() < self.filled + len {
            self.next_buffer();
        }
        let start = self.filled;
        self.filled += len;
        self.source
            .read_at(ByteOffset::new(at), &mut self.buffer[start..self.filled])
            .map_err(|cause| self.source_error(cause))?;
        let slot = self.draft.slots.len();
        self.places.push(Place { slot, start, len, expected: Expected::Chunk(chunk.id) });
        self.draft.slots.push(Slot::Awaited(chunk.len));
        self.chunk_start = self.filled;
        self.draft.audited += ByteCount::of_len(len);
        self.line.ingest.progress.advance(ByteCount::of_len(len));
        Ok(())
    }

    fn finish(&mut self) {
        let cutter = self.cutter.clone();
        cutter.finish(&mut self.pieces);
        self.take_pieces(self.filled);
        self.send_places(Vec::new());
    }

    fn read_stretch(&mut self, stretch: Stretch) -> Result<(), IngestError> {
        let mut at = stretch.start;
        while at < stretch.end {
            let extent =
                self.source.extent_at(ByteOffset::new(at)).map_err(|cause| self.source_error(cause))?;
            let end = extent.end.get().min(stretch.end);
            // Cuts lie on page borders, so a hole counts only with its whole pages.
            let whole_pages = if end == stretch.end { end } else { end / PAGE * PAGE };
            if extent.kind == ExtentKind::Hole && at + ZERO_RUN_BYTES_MIN <= whole_pages {
                self.check()?;
                self.cutter.zeros(whole_pages - at, &mut self.pieces);
                self.take_pieces(self.filled);
                self.line.ingest.progress.advance(ByteCount::new(whole_pages - at));
                at = whole_pages;
            } else {
                let end = end.next_multiple_of(PAGE).min(stretch.end);
                at = self.read_data(at, end)?;
            }
        }
        Ok(())
    }

    fn read_data(&mut self, mut at: u64, end: u64) -> Result<u64, IngestError> {
        while at < end {
            self.check()?;
            if self.filled == self.buffer.len() {
                self.next_buffer();
            }
            let room = (self.buffer.len() - self.filled) as u64;
            let len = (end - at).min(room).min(READ_BYTES);
            let from = self.filled;
            self.filled += usize::try_from(len).expect("bounded by the buffer");
            self.source
                .read_at(ByteOffset::new(at), &mut self.buffer[from..self.filled])
                .map_err(|cause| self.source_error(cause))?;
            let mut page_at = from;
            while page_at < self.filled {
                let page_end = (page_at + PAGE_BYTES).min(self.filled);
                self.cutter.page(&self.buffer[page_at..page_end], &mut self.pieces);
                if !self.pieces.is_empty() {
                    self.take_pieces(page_at);
                }
                page_at = page_end;
            }
            at += len;
            self.draft.read += ByteCount::new(len);
            self.line.ingest.progress.advance(ByteCount::new(len));
        }
        Ok(at)
    }

    /// Gives the pieces their place: data in the buffer, zeros by their length. Data behind zeros begins at `page_at`.
    fn take_pieces(&mut self, page_at: usize) {
        for piece in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Data(len) => {
                    let len = usize::try_from(len).expect("a chunk fits the buffer");
                    let slot = self.draft.slots.len();
                    let expected = Expected::Anything;
                    self.places.push(Place { slot, start: self.chunk_start, len, expected });
                    self.draft
                        .slots
                        .push(Slot::Awaited(u32::try_from(len).expect("a chunk has at most 4 MiB")));
                    self.chunk_start += len;
                }
                Piece::Zeros(len) => {
                    let id = ZERO_IDS.id(len);
                    self.draft
                        .slots
                        .push(Slot::Zeros(Chunk { id, len: u32::try_from(len).expect("at most 4 MiB") }));
                    if self.zero_lens_met.insert(len) {
                        self.send(Job::Zeros { len });
                    }
                    self.chunk_start = page_at;
                }
            }
        }
    }

    /// Hands the buffer to the workers and goes on in a fresh one, which begins with the chunk still under way.
    fn next_buffer(&mut self) {
        let held = usize::try_from(self.cutter.held()).expect("held bytes lie in the buffer");
        let keep_from = self.filled - held;
        if self.places.is_empty() {
            // Only zeros were read into it: the workers have nothing to do with it.
            self.buffer.copy_within(keep_from..self.filled, 0);
        } else {
            let mut next = reader_buffer(self.buffers);
            next[..held].copy_from_slice(&self.buffer[keep_from..self.filled]);
            self.send_places(next);
        }
        self.filled = held;
        self.chunk_start = 0;
    }

    fn send_places(&mut self, next: Vec<u8>) {
        let buffer = std::mem::replace(&mut self.buffer, next);
        let places = std::mem::take(&mut self.places);
        self.send(Job::Chunks { disk: self.disk, buffer, places });
    }

    fn send(&self, job: Job) {
        self.buffers.jobs.send(job).expect("workers live as long as readers");
    }

    fn check(&self) -> Result<(), IngestError> {
        self.line.ingest.stop.check()?;
        Ok(self.line.failure.check()?)
    }

    fn source_error(&self, cause: DiskError) -> IngestError {
        IngestError::Source { disk: self.disk, cause }
    }
}
