//! A GUID partition table with one partition, as bytes: pure, the same for the same disk.

/// Bytes of a sector, the unit of the table.
pub(crate) const SECTOR_BYTES: u64 = 512;
/// Sectors that the table takes at either end of a disk, the protective boot record not counted.
const TABLE_SECTORS: u64 = 33;
const ENTRY_BYTES: usize = 128;
const ENTRIES: usize = 128;
/// Linux file system data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as stored.
const LINUX: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// Where a disk's one partition lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) disk_bytes: u64,
    pub(crate) start_bytes: u64,
    pub(crate) len_bytes: u64,
}

/// The two ends of a disk that hold its table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Goes to the start of the disk.
    pub(crate) head: Vec<u8>,
    /// Ends with the last byte of the disk.
    pub(crate) tail: Vec<u8>,
}

/// The table of a disk with one Linux partition; `guid` names disk and partition.
pub(crate) fn table(partition: Partition, guid: u128) -> Table {
    let last = partition.disk_bytes / SECTOR_BYTES - 1;
    let entries = entries(partition, guid);
    let mut head = protective(last);
    head.extend(header(1, last, 2, last, guid, &entries));
    head.extend(&entries);
    let mut tail = entries.clone();
    tail.extend(header(last, 1, last - TABLE_SECTORS + 1, last, guid, &entries));
    Table { head, tail }
}

fn entries(partition: Partition, guid: u128) -> Vec<u8> {
    let first = partition.start_bytes / SECTOR_BYTES;
    let end = first + partition.len_bytes / SECTOR_BYTES - 1;
    let mut entries = Vec::with_capacity(ENTRY_BYTES * ENTRIES);
    entries.extend(LINUX);
    entries.extend((guid ^ 1).to_le_bytes());
    for number in [first, end, 0] {
        entries.extend(number.to_le_bytes());
    }
    for letter in "root".encode_utf16() {
        entries.extend(letter.to_le_bytes());
    }
    entries.resize(ENTRY_BYTES * ENTRIES, 0);
    entries
}

/// A header sector: its own place, the place of its twin, and where its copy of the entries starts.
fn header(own: u64, twin: u64, entries_at: u64, last: u64, guid: u128, entries: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(512);
    header.extend(b"EFI PART");
    for number in [0x0001_0000_u32, 92, 0, 0] {
        header.extend(number.to_le_bytes());
    }
    for number in [own, twin, TABLE_SECTORS + 1, last - TABLE_SECTORS] {
        header.extend(number.to_le_bytes());
    }
    header.extend(guid.to_le_bytes());
    header.extend(entries_at.to_le_bytes());
    for number in [128_u32, 128, crc32(entries)] {
        header.extend(number.to_le_bytes());
    }
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header.resize(512, 0);
    header
}

/// The boot record that tells old tools to keep away: one partition of type EE over the whole disk.
fn protective(last: u64) -> Vec<u8> {
    let mut record = vec![0; 446];
    record.extend([0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    record.extend(1_u32.to_le_bytes());
    record.extend(u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes());
    record.resize(510, 0);
    record.extend([0x55, 0xaa]);
    record
}

/// The checksum that GPT asks for (IEEE 802.3, reflected).
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in bytes {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            let low = sum & 1;
            sum >>= 1;
            if low == 1 {
                sum ^= 0xedb8_8320;
            }
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn small() -> Table {
        table(
            Partition { disk_bytes: 64 * MIB, start_bytes: MIB + 16_384, len_bytes: 60 * MIB },
            0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        )
    }

    fn number(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn head_and_tail_have_the_lengths_and_marks_that_readers_look_for() {
        let table = small();
        assert_eq!((table.head.len(), table.tail.len()), (34 * 512, 33 * 512));
        assert_eq!(table.head[510..512], [0x55, 0xaa]);
        assert_eq!(table.head[450], 0xee);
        assert_eq!(&table.head[512..520], b"EFI PART");
        assert_eq!(&table.tail[32 * 512..32 * 512 + 8], b"EFI PART");
    }

    #[test]
    fn both_headers_point_at_each_other_and_their_sums_hold() {
        let table = small();
        let last = 64 * MIB / 512 - 1;
        for (header, own, twin, entries_at) in
            [(&table.head[512..1024], 1, last, 2), (&table.tail[32 * 512..], last, 1, last - 32)]
        {
            assert_eq!([number(header, 24), number(header, 32), number(header, 72)], [own, twin, entries_at]);
            let mut bare = header[..92].to_vec();
            bare[16..20].fill(0);
            assert_eq!(header[16..20], crc32(&bare).to_le_bytes());
            assert_eq!(header[88..92], crc32(&table.head[1024..]).to_le_bytes());
        }
    }

    #[test]
    fn the_partition_is_where_it_was_asked_for() {
        let entry = &small().head[1024..1024 + 128];
        assert_eq!(number(entry, 32) * SECTOR_BYTES, MIB + 16_384);
        assert_eq!((number(entry, 40) + 1) * SECTOR_BYTES, 61 * MIB + 16_384);
    }
}
