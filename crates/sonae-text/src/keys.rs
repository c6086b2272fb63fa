//! The key of every message, as constants. Texts live in the catalogues and nowhere else.
//!
//! To add a message, add a line here and one to each catalogue; the tests name what is missing.

use sonae_types::MessageKey;

macro_rules! keys {
    ($($name:ident = $text:literal,)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: MessageKey = MessageKey::new($text);
        )*

        /// Every key.
        pub const ALL: &[MessageKey] = &[$($name),*];
    };
}

keys! {
    // What the command line says first, one headline per exit code (docs/errors.md).
    EXIT_DONE_HEADLINE = "exit.done.headline",
    EXIT_WRONG_USE_HEADLINE = "exit.wrong-use.headline",
    EXIT_OUR_FAULT_HEADLINE = "exit.our-fault.headline",
    EXIT_SOURCE_UNREADABLE_HEADLINE = "exit.source-unreadable.headline",
    EXIT_NO_REPOSITORY_HEADLINE = "exit.no-repository.headline",
    EXIT_LOCKED_HEADLINE = "exit.locked.headline",
    EXIT_WRONG_PASSWORD_HEADLINE = "exit.wrong-password.headline",
    EXIT_DAMAGE_FOUND_HEADLINE = "exit.damage-found.headline",
    EXIT_PROOF_FAILED_HEADLINE = "exit.proof-failed.headline",
    EXIT_NOT_PROVEN_HEADLINE = "exit.not-proven.headline",
    EXIT_INTERRUPTED_HEADLINE = "exit.interrupted.headline",

    // How an error is set out: the headline, its cause, what to do.
    ERROR_PART_CAUSE = "error.part.cause",
    ERROR_PART_REMEDY = "error.part.remedy",

    // Errors about the repository.
    ERROR_REPOSITORY_NOT_NAMED = "error.repository.not-named",
    REMEDY_REPOSITORY_NOT_NAMED = "remedy.repository.not-named",
    ERROR_REPOSITORY_MISSING = "error.repository.missing",
    REMEDY_REPOSITORY_MISSING = "remedy.repository.missing",
    ERROR_REPOSITORY_EXISTS = "error.repository.exists",
    REMEDY_REPOSITORY_EXISTS = "remedy.repository.exists",
    ERROR_REPOSITORY_NOT_EMPTY = "error.repository.not-empty",
    REMEDY_REPOSITORY_NOT_EMPTY = "remedy.repository.not-empty",
    ERROR_REPOSITORY_CONFIG_MISSING = "error.repository.config-missing",
    REMEDY_REPOSITORY_CONFIG_MISSING = "remedy.repository.config-missing",
    ERROR_REPOSITORY_CONFIG_DAMAGED = "error.repository.config-damaged",
    REMEDY_REPOSITORY_CONFIG_DAMAGED = "remedy.repository.config-damaged",
    ERROR_REPOSITORY_VERSION = "error.repository.version",
    REMEDY_REPOSITORY_VERSION = "remedy.repository.version",
    ERROR_REPOSITORY_ADDRESS = "error.repository.address",
    REMEDY_REPOSITORY_ADDRESS = "remedy.repository.address",
    ERROR_REPOSITORY_UNUSABLE = "error.repository.unusable",
    REMEDY_REPOSITORY_UNUSABLE = "remedy.repository.unusable",
    ERROR_REPOSITORY_FULL = "error.repository.full",
    REMEDY_REPOSITORY_FULL = "remedy.repository.full",

    // Errors about passwords and keys.
    ERROR_PASSWORD_NOT_NAMED = "error.password.not-named",
    REMEDY_PASSWORD_NOT_NAMED = "remedy.password.not-named",
    ERROR_PASSWORD_UNREADABLE = "error.password.unreadable",
    REMEDY_PASSWORD_UNREADABLE = "remedy.password.unreadable",
    ERROR_PASSWORD_EMPTY = "error.password.empty",
    REMEDY_PASSWORD_EMPTY = "remedy.password.empty",
    ERROR_PASSWORD_WRONG = "error.password.wrong",
    REMEDY_PASSWORD_WRONG = "remedy.password.wrong",
    ERROR_KEY_DAMAGED = "error.key.damaged",
    REMEDY_KEY_DAMAGED = "remedy.key.damaged",
    ERROR_KEY_NONE = "error.key.none",
    REMEDY_KEY_NONE = "remedy.key.none",
    ERROR_KEY_UNKNOWN = "error.key.unknown",
    REMEDY_KEY_UNKNOWN = "remedy.key.unknown",
    ERROR_KEY_AMBIGUOUS = "error.key.ambiguous",
    REMEDY_KEY_AMBIGUOUS = "remedy.key.ambiguous",
    ERROR_KEY_LAST = "error.key.last",
    REMEDY_KEY_LAST = "remedy.key.last",
    ERROR_KEY_IN_USE = "error.key.in-use",
    REMEDY_KEY_IN_USE = "remedy.key.in-use",

    // Errors about locks.
    ERROR_LOCK_HELD = "error.lock.held",
    REMEDY_LOCK_HELD = "remedy.lock.held",
    ERROR_LOCK_UNREADABLE = "error.lock.unreadable",
    REMEDY_LOCK_UNREADABLE = "remedy.lock.unreadable",
    ERROR_LOCK_LOST = "error.lock.lost",
    REMEDY_LOCK_LOST = "remedy.lock.lost",

    // Errors about recovery points, machines and disks.
    ERROR_POINT_UNKNOWN = "error.point.unknown",
    REMEDY_POINT_UNKNOWN = "remedy.point.unknown",
    ERROR_POINT_AMBIGUOUS = "error.point.ambiguous",
    REMEDY_POINT_AMBIGUOUS = "remedy.point.ambiguous",
    ERROR_POINT_LATEST_NEEDS_VM = "error.point.latest-needs-vm",
    REMEDY_POINT_LATEST_NEEDS_VM = "remedy.point.latest-needs-vm",
    ERROR_POINT_INCOMPLETE = "error.point.incomplete",
    REMEDY_POINT_INCOMPLETE = "remedy.point.incomplete",
    ERROR_VM_UNKNOWN = "error.vm.unknown",
    REMEDY_VM_UNKNOWN = "remedy.vm.unknown",
    ERROR_VM_NAME = "error.vm.name",
    REMEDY_VM_NAME = "remedy.vm.name",
    ERROR_DISK_UNKNOWN = "error.disk.unknown",
    REMEDY_DISK_UNKNOWN = "remedy.disk.unknown",
    ERROR_DISK_ARGUMENT = "error.disk.argument",
    REMEDY_DISK_ARGUMENT = "remedy.disk.argument",
    ERROR_DISK_NAME = "error.disk.name",
    REMEDY_DISK_NAME = "remedy.disk.name",
    ERROR_DISK_DUPLICATE = "error.disk.duplicate",
    REMEDY_DISK_DUPLICATE = "remedy.disk.duplicate",
    ERROR_DISK_NONE = "error.disk.none",
    REMEDY_DISK_NONE = "remedy.disk.none",
    ERROR_FILE_DUPLICATE = "error.file.duplicate",
    REMEDY_FILE_DUPLICATE = "remedy.file.duplicate",
    ERROR_PATH_UNKNOWN = "error.path.unknown",
    REMEDY_PATH_UNKNOWN = "remedy.path.unknown",
    ERROR_OPTION_VALUE = "error.option.value",
    REMEDY_OPTION_VALUE = "remedy.option.value",

    // Errors about what is read.
    ERROR_SOURCE_MISSING = "error.source.missing",
    REMEDY_SOURCE_MISSING = "remedy.source.missing",
    ERROR_SOURCE_KIND = "error.source.kind",
    REMEDY_SOURCE_KIND = "remedy.source.kind",
    ERROR_SOURCE_UNUSABLE = "error.source.unusable",
    ERROR_SOURCE_UNREADABLE = "error.source.unreadable",
    REMEDY_SOURCE_UNREADABLE = "remedy.source.unreadable",
    ERROR_SOURCE_SHORT = "error.source.short",
    REMEDY_SOURCE_SHORT = "remedy.source.short",
    ERROR_SOURCE_CHANGED = "error.source.changed",
    REMEDY_SOURCE_CHANGED = "remedy.source.changed",

    // Errors about what is written in a restore.
    ERROR_TARGET_EXISTS = "error.target.exists",
    REMEDY_TARGET_EXISTS = "remedy.target.exists",
    ERROR_TARGET_KIND = "error.target.kind",
    REMEDY_TARGET_KIND = "remedy.target.kind",
    ERROR_TARGET_UNUSABLE = "error.target.unusable",
    ERROR_TARGET_SMALL = "error.target.small",
    REMEDY_TARGET_SMALL = "remedy.target.small",
    ERROR_TARGET_IN_USE = "error.target.in-use",
    REMEDY_TARGET_IN_USE = "remedy.target.in-use",
    ERROR_TARGET_UNWRITABLE = "error.target.unwritable",
    REMEDY_TARGET_UNWRITABLE = "remedy.target.unwritable",
    ERROR_TARGET_FULL = "error.target.full",
    REMEDY_TARGET_FULL = "remedy.target.full",

    // Damage.
    ERROR_DAMAGE_CHUNK = "error.damage.chunk",
    ERROR_DAMAGE_FILE = "error.damage.file",
    ERROR_DAMAGE_MISSING = "error.damage.missing",
    ERROR_DAMAGE_POINT = "error.damage.point",
    REMEDY_DAMAGE_REPOSITORY = "remedy.damage.repository",
    ERROR_DAMAGE_MEMORY = "error.damage.memory",
    REMEDY_DAMAGE_MEMORY = "remedy.damage.memory",

    // Our own fault, and interruption.
    ERROR_INTERNAL_FAULT = "error.internal.fault",
    REMEDY_INTERNAL_FAULT = "remedy.internal.fault",
    ERROR_RUN_INTERRUPTED = "error.run.interrupted",
    REMEDY_RUN_INTERRUPTED = "remedy.run.interrupted",

    // Progress.
    PROGRESS_PHASE_OPENING = "progress.phase.opening",
    PROGRESS_PHASE_READING = "progress.phase.reading",
    PROGRESS_PHASE_STORING = "progress.phase.storing",
    PROGRESS_PHASE_RESTORING = "progress.phase.restoring",
    PROGRESS_PHASE_VERIFYING = "progress.phase.verifying",
    PROGRESS_PHASE_CHECKING = "progress.phase.checking",
    PROGRESS_LINE_FULL = "progress.line.full",
    PROGRESS_TIME_REMAINING = "progress.time.remaining",
    PROGRESS_TIME_UNKNOWN = "progress.time.unknown",

    // sonae repo
    REPO_INIT_DONE = "repo.init.done",
    REPO_INIT_PASSWORD_ADVICE = "repo.init.password-advice",
    REPO_CHECK_STRUCTURE_GOOD = "repo.check.structure-good",
    REPO_CHECK_DATA_GOOD = "repo.check.data-good",
    REPO_CHECK_DAMAGED = "repo.check.damaged",
    REPO_CHECK_UNREFERENCED = "repo.check.unreferenced",

    // sonae key
    KEY_ADD_DONE = "key.add.done",
    KEY_REMOVE_DONE = "key.remove.done",
    KEY_LIST_CURRENT = "key.list.current",

    // sonae backup
    BACKUP_RUN_DONE = "backup.run.done",
    BACKUP_DISK_DONE = "backup.disk.done",
    BACKUP_MODE_FULL = "backup.mode.full",
    BACKUP_MODE_INCREMENTAL = "backup.mode.incremental",
    BACKUP_REASON_FIRST_POINT = "backup.reason.first-point",
    BACKUP_REASON_NO_CHANGE_INFORMATION = "backup.reason.no-change-information",

    // sonae points, show
    POINTS_LIST_EMPTY = "points.list.empty",
    POINTS_LIST_COUNT = "points.list.count",
    SHOW_POINT_FOREIGN = "show.point.foreign",
    SHOW_POINT_UNCHANGED_WHILE_READ = "show.point.unchanged-while-read",

    // sonae restore
    RESTORE_DISK_DONE = "restore.disk.done",
    RESTORE_DISK_UPDATED = "restore.disk.updated",
    RESTORE_FILE_DONE = "restore.file.done",

    // sonae verify
    VERIFY_POINT_GOOD = "verify.point.good",
    VERIFY_POINT_DAMAGED = "verify.point.damaged",
    VERIFY_RUN_GOOD = "verify.run.good",
    VERIFY_RUN_DAMAGED = "verify.run.damaged",
    VERIFY_RUN_NOTHING = "verify.run.nothing",

    // Headings of tables and labels of lists.
    HEADING_POINT_ID = "heading.point.id",
    HEADING_POINT_VM = "heading.point.vm",
    HEADING_POINT_TIME = "heading.point.time",
    HEADING_POINT_DISKS = "heading.point.disks",
    HEADING_POINT_TAGS = "heading.point.tags",
    HEADING_POINT_PARENT = "heading.point.parent",
    HEADING_POINT_PROGRAM = "heading.point.program",
    HEADING_DISK_NAME = "heading.disk.name",
    HEADING_DISK_SIZE = "heading.disk.size",
    HEADING_DISK_PATH = "heading.disk.path",
    HEADING_DISK_MODE = "heading.disk.mode",
    HEADING_DISK_READ = "heading.disk.read",
    HEADING_DISK_CHANGED = "heading.disk.changed",
    HEADING_DISK_NEW = "heading.disk.new",
    HEADING_DISK_STORED = "heading.disk.stored",
    HEADING_FILE_NAME = "heading.file.name",
    HEADING_KEY_ID = "heading.key.id",
    HEADING_KEY_USER = "heading.key.user",
    HEADING_KEY_HOST = "heading.key.host",
    HEADING_KEY_CREATED = "heading.key.created",
    HEADING_REPOSITORY_LOCATION = "heading.repository.location",
    HEADING_REPOSITORY_ID = "heading.repository.id",
    HEADING_REPOSITORY_FORMAT = "heading.repository.format",
    HEADING_REPOSITORY_KEYS = "heading.repository.keys",
    HEADING_REPOSITORY_POINTS = "heading.repository.points",
    HEADING_REPOSITORY_PACKS = "heading.repository.packs",
    HEADING_REPOSITORY_CHUNKS = "heading.repository.chunks",
    HEADING_REPOSITORY_STORED = "heading.repository.stored",
    HEADING_REPOSITORY_CONTENT = "heading.repository.content",
}
