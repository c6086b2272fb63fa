//! The command line: what can be typed. What it means is decided in `commands`, how it is described in `help`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Form;
use crate::progress::Show;

/// Backs up, restores and proves virtual servers with a repository and a key alone.
///
/// The repository is in restic's format, version 2: plain restic can check and restore it.
#[derive(Debug, Parser)]
#[command(name = "sonae", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags as they are typed; the methods give them their names"
)]
pub(crate) struct Global {
    /// Where the repository lies: a folder, or a place in an object store
    #[arg(long, global = true, value_name = "URL", env = "SONAE_REPO")]
    pub(crate) repo: Option<String>,
    /// The file that holds the password and nothing else
    #[arg(long, global = true, value_name = "FILE", env = "SONAE_PASSWORD_FILE")]
    pub(crate) password_file: Option<OsString>,
    /// Most that is written to the repository in a second, in KiB; also with K, M or G behind the number
    #[arg(long, global = true, value_name = "RATE")]
    pub(crate) limit_upload: Option<String>,
    /// Most that is read from the repository in a second, in KiB; also with K, M or G behind the number
    #[arg(long, global = true, value_name = "RATE")]
    pub(crate) limit_download: Option<String>,
    /// Print one JSON document on standard output, and progress as JSON lines on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, describe or check a repository
    #[command(subcommand)]
    Repo(RepoCommand),
    /// List, add or remove passwords
    #[command(subcommand)]
    Key(KeyCommand),
    /// Back up a machine: all its disks, as one recovery point
    Backup(BackupArgs),
    /// List the recovery points
    Points {
        /// Only those of this machine
        #[arg(long, value_name = "NAME")]
        vm: Option<String>,
    },
    /// Show what a recovery point holds
    Show(PointArgs),
    /// Show which stretches of the disks differ between two recovery points
    Diff(DiffArgs),
    /// Read back all data of a recovery point, or of all
    #[command(override_usage = "sonae verify <POINT | --all> [OPTIONS]")]
    Verify {
        #[command(flatten)]
        point: OptionalPoint,
        /// Verify every recovery point
        #[arg(long, conflicts_with = "point")]
        all: bool,
    },
    /// Restore a disk
    #[command(
        override_usage = "sonae restore <POINT> <--disk <NAME> | --path </PATH/IN/POINT>> --to <PATH> [OPTIONS]"
    )]
    Restore(RestoreArgs),
    /// Remove recovery points that no rule keeps, or those that are named
    #[command(override_usage = "sonae forget <--keep-<RULE> <VALUE>... | POINT...> [OPTIONS]")]
    Forget(ForgetArgs),
    /// Copy recovery points to another place
    Copy(CopyArgs),
    /// Compare copies of a repository
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Try out places for repositories
    #[command(subcommand)]
    Store(StoreCommand),
    /// Free the room that no recovery point needs any more
    Prune(PruneArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepoCommand {
    /// Create a repository in an empty or new folder
    Init {
        /// Cut disks where this repository cuts them
        #[arg(long, value_name = "URL")]
        chunker_from: Option<String>,
        /// The password file of that repository
        #[arg(long, value_name = "FILE", requires = "chunker_from")]
        from_password_file: Option<PathBuf>,
    },
    /// Describe the repository
    Info,
    /// Check that everything that must be there is there
    Check {
        /// Read and verify all data, too
        #[arg(long)]
        read_data: bool,
    },
    /// Check without a key that every file holds what its name says
    KeylessCheck,
    /// Rebuild the index from the packs
    RepairIndex {
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring back from a copy what is damaged or missing
    Heal {
        /// Where the copy lies
        #[arg(long, value_name = "URL")]
        from: String,
        /// The password file of the copy
        #[arg(long, value_name = "FILE")]
        from_password_file: Option<PathBuf>,
        /// Read all packs to find what is damaged
        #[arg(long)]
        read_data: bool,
        /// Change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove locks that were left behind
    Unlock {
        /// Also those that count as in use
        #[arg(long)]
        remove_all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Find out what a place can do, by doing it; nothing stays there
    Probe {
        /// The place, as for --repo
        #[arg(value_name = "URL")]
        url: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Prove without a key that two places hold the same
    Prove {
        /// One place
        #[arg(value_name = "URL")]
        first: String,
        /// The other place
        #[arg(value_name = "URL2")]
        second: String,
        /// How many of a hundred packs are read on both sides
        #[arg(long, value_name = "PERCENT")]
        sample: Option<String>,
        /// The number that chooses them
        #[arg(long, value_name = "N")]
        seed: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Where to: a folder
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,
    /// The password file of the target
    #[arg(long, value_name = "FILE")]
    pub(crate) to_password_file: Option<PathBuf>,
    /// Only the points of this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
    /// Read what is in the target already
    #[arg(long)]
    pub(crate) read_data: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Let another password open the repository
    Add {
        /// The file that holds the new password and nothing else
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
    /// List the passwords' key files
    List,
    /// Remove a key file; the one in use stays
    Remove {
        /// Its id, or the beginning of it
        key: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The machine's name
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: String,
    /// A disk and the raw image or block device it is read from; `NAME=raw:PATH` takes the bytes whatever they look like
    #[arg(long = "disk", value_name = "NAME=PATH", required = true)]
    pub(crate) disks: Vec<String>,
    /// A file to keep beside the disks, such as the machine's configuration
    #[arg(long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// What changed on a disk since a point, so that only that is read
    #[arg(long = "changed", value_name = "NAME=FILE")]
    pub(crate) changed: Vec<String>,
    /// How much of what did not change is read again all the same
    #[arg(long, value_name = "PERCENT", allow_negative_numbers = true)]
    pub(crate) audit: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PointArgs {
    /// An id, the beginning of one, or `latest` with --vm
    #[arg(value_name = "POINT")]
    pub(crate) point: String,
    /// The machine's name
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older point: an id, the beginning of one, or `latest` with --vm
    #[arg(value_name = "POINT")]
    pub(crate) from: String,
    /// The newer one
    #[arg(value_name = "POINT")]
    pub(crate) to: String,
    /// The machine's name
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct OptionalPoint {
    /// An id, the beginning of one, or `latest` with --vm
    #[arg(value_name = "POINT", required_unless_present = "all")]
    pub(crate) point: Option<String>,
    /// The machine's name
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) point: PointArgs,
    /// The disk to restore
    #[arg(long, value_name = "NAME", required_unless_present = "path", conflicts_with = "path")]
    pub(crate) disk: Option<String>,
    /// The file to restore, for points that plain restic wrote
    #[arg(long, value_name = "/PATH/IN/POINT")]
    pub(crate) path: Option<String>,
    /// The file or block device to restore to
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// What to do with a target that exists
    #[arg(long, value_enum, value_name = "CHOICE", default_value_t = ExistingArg::Refuse)]
    pub(crate) existing: ExistingArg,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The ids of points to remove, or beginnings of them
    #[arg(value_name = "POINT", conflicts_with = "KeepArgs")]
    pub(crate) points: Vec<String>,
    /// Only points of this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) vm: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// How long what is of no use stays after it was found
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace: Option<String>,
    /// How much may lie unused in packs that stay
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_unused: Option<String>,
    /// Most that is repacked in one run
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_repack: Option<String>,
    /// Change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The rules, as in plain restic. Numbers are texts here: `unlimited` is one, too.
#[derive(Debug, Args)]
pub(crate) struct KeepArgs {
    /// Keep the newest ones
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_last: Option<String>,
    /// Keep the newest of each of the newest hours
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_hourly: Option<String>,
    /// The same for days
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_daily: Option<String>,
    /// The same for weeks
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_weekly: Option<String>,
    /// The same for months
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_monthly: Option<String>,
    /// The same for years
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) keep_yearly: Option<String>,
    /// Keep all that are no older than this before the newest one
    #[arg(long, value_name = "DURATION")]
    pub(crate) keep_within: Option<String>,
    /// Keep all with this tag, or with all of several
    #[arg(long = "keep-tag", value_name = "TAG")]
    pub(crate) keep_tags: Vec<String>,
    /// The zone of the calendar
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExistingArg {
    /// Leave it alone and refuse
    Refuse,
    /// Write only what differs
    Update,
}

impl Global {
    /// In which form the answer is wanted.
    pub(crate) fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Text }
    }

    /// Whether progress is wanted.
    pub(crate) fn show(&self) -> Show {
        if self.quiet { Show::Nothing } else { Show::Progress }
    }
}
