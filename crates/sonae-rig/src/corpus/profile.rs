//! How large a corpus is, and what a machine in it holds.

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Which corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Size {
    Small,
    Std,
    Full,
    Huge,
}

/// The make of a corpus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Machines copied from one template.
    pub(crate) clones: u64,
    /// Machines installed by themselves.
    pub(crate) separate: u64,
    pub(crate) disk_bytes: u64,
    /// Debian packages, beside the essential ones.
    pub(crate) packages: &'static str,
    /// How much of this machine's own files stands in for the packages where they cannot be had.
    pub(crate) fallback_bytes: u64,
    pub(crate) register_bytes: u64,
    pub(crate) log_bytes: u64,
    /// Incompressible: about 15 % of what a machine holds.
    pub(crate) scan_bytes: u64,
    pub(crate) sparse_disk_bytes: u64,
    pub(crate) sparse_data_bytes: u64,
}

const SERVER: &str = "linux-image-amd64,openjdk-17-jre-headless,postgresql-15,nginx-light,python3,perl,vim-nox,\
                      fonts-noto-cjk,gcc,openssh-server,rsyslog,cron,locales,sudo,curl,git";

impl Size {
    /// The make of this corpus; none for the one large disk that has no machines.
    pub(crate) fn profile(self) -> Option<Profile> {
        let standard = Profile {
            clones: 3,
            separate: 1,
            disk_bytes: 2560 * MIB,
            packages: SERVER,
            fallback_bytes: 1400 * MIB,
            register_bytes: 100 * MIB,
            log_bytes: 30 * MIB,
            scan_bytes: 290 * MIB,
            sparse_disk_bytes: 40 * GIB,
            sparse_data_bytes: 512 * MIB,
        };
        match self {
            Self::Small => Some(Profile {
                disk_bytes: 384 * MIB,
                packages: "apt",
                fallback_bytes: 150 * MIB,
                register_bytes: 16 * MIB,
                log_bytes: 4 * MIB,
                scan_bytes: 28 * MIB,
                sparse_data_bytes: 64 * MIB,
                ..standard
            }),
            Self::Std => Some(standard),
            Self::Full => Some(Profile {
                clones: 6,
                separate: 2,
                disk_bytes: 4096 * MIB,
                register_bytes: 300 * MIB,
                log_bytes: 60 * MIB,
                scan_bytes: 310 * MIB,
                sparse_data_bytes: 1024 * MIB,
                ..standard
            }),
            Self::Huge => None,
        }
    }

    /// Its name on the command line and in `corpus.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Std => "std",
            Self::Full => "full",
            Self::Huge => "huge",
        }
    }
}

impl Profile {
    /// Bytes that one machine's next day changes, about 2.7 % of what it holds.
    pub(crate) fn day_bytes(&self, allocated_bytes: u64) -> u64 {
        allocated_bytes * 27 / 1000
    }
}
