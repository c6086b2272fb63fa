//! Telling images in a format of their own from raw ones, by their first bytes.

/// As many bytes from the start as [`name_of`] looks at.
pub(crate) const HEAD: usize = 512;

/// Format, where its mark lies, the mark.
///
/// Sources: qemu's `docs/interop/qcow2.rst` and `docs/interop/qed_spec.rst`, VMware's Virtual Disk Format 1.1, MS-VHDX
/// 2.2.1, Microsoft's VHD specification, `VDICore.h` of VirtualBox.
const MARKS: [(&str, usize, &[u8]); 8] = [
    ("qcow2", 0, b"QFI\xfb"),
    ("QED", 0, b"QED\0"),
    ("VMDK", 0, b"KDMV"),
    ("VMDK", 0, b"COWD"),
    ("VMDK", 0, b"# Disk DescriptorFile"),
    ("VHDX", 0, b"vhdxfile"),
    ("VHD", 0, b"conectix"),
    ("VDI", 64, b"\x7f\x10\xda\xbe"),
];

/// The format of an image that begins with `head`; none where it looks like the bytes of a disk.
pub(crate) fn name_of(head: &[u8]) -> Option<&'static str> {
    let marked =
        |(_, at, mark): &&(&str, usize, &[u8])| head.get(*at..).is_some_and(|rest| rest.starts_with(mark));
    MARKS.iter().find(marked).map(|(name, ..)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_no_image_format() {
        for head in [b"".as_slice(), b"Q", &[0; HEAD], b"QFI", b"\xeb\x63\x90GRUB", b"LUKS\xba\xbe"] {
            assert_eq!(name_of(head), None, "{head:?}");
        }
    }

    #[test]
    fn every_mark_is_known_where_it_belongs_only() {
        for (name, at, mark) in MARKS {
            let mut head = vec![0; at];
            head.extend_from_slice(mark);
            assert_eq!(name_of(&head), Some(name));
            head.insert(0, 0);
            assert_eq!(name_of(&head), None, "{name}");
        }
    }
}
