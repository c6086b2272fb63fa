//! What each command does: arguments become a request, the request an operation, the report output.

mod backup;
mod copy;
mod diff;
mod forget;
mod key;
mod limits;
mod maintain;
mod object_store;
mod points;
mod prune;
mod repo;
mod restore;
mod store;
mod verify;

use std::path::Path;

use sonae_agent::repository::{Access, Address, open};
use sonae_agent::{Failure, Fault, system_environment};
use sonae_repo::crypto::Password;
use sonae_repo::store::Repeats;
use sonae_repo::{Repository, Stop};
use sonae_text::keys;
use sonae_types::{Message, VmName};

use crate::args::{Arguments, Command, Global};
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::Show;
use limits::limits;
use object_store::s3_access;

/// What every command works with.
pub(crate) struct Context<'a> {
    global: &'a Global,
    output: &'a Output,
    stop: &'a Stop,
    access: Access,
}

/// Does what the arguments ask.
pub(crate) fn run(arguments: &Arguments, output: &Output, stop: &Stop) -> Result<Exit, Failure> {
    let limits = limits(&arguments.global)?;
    let access = Access { stop: stop.clone(), limits, s3: s3_access()?, repeats: Repeats::default() };
    let context = Context { global: &arguments.global, output, stop, access };
    match &arguments.command {
        Command::Repo(command) => repo::run(&context, command),
        Command::Key(command) => key::run(&context, command),
        Command::Backup(args) => backup::run(&context, args),
        Command::Points { vm } => points::list(&context, vm.as_deref()),
        Command::Show(args) => points::show(&context, args),
        Command::Verify { point, .. } => verify::run(&context, point),
        Command::Restore(args) => restore::run(&context, args),
        Command::Diff(args) => diff::run(&context, args),
        Command::Forget(args) => forget::run(&context, args),
        Command::Copy(args) => copy::run(&context, args),
        Command::Replica(command) => copy::prove(&context, command),
        Command::Store(command) => store::run(&context, command),
        Command::Prune(args) => prune::run(&context, args),
    }
}

impl Context<'_> {
    fn address(&self) -> Result<Address, Failure> {
        match self.global.repo.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Address::parse(text),
            None => Err(wrong_use(keys::ERROR_REPOSITORY_NOT_NAMED, keys::REMEDY_REPOSITORY_NOT_NAMED)),
        }
    }

    fn password(&self) -> Result<Password, Failure> {
        match self.global.password_file.as_deref().filter(|path| !path.is_empty()) {
            Some(path) => read_password(Path::new(path)),
            None => Err(wrong_use(keys::ERROR_PASSWORD_NOT_NAMED, keys::REMEDY_PASSWORD_NOT_NAMED)),
        }
    }

    fn open(&self) -> Result<Repository, Failure> {
        open(&self.address()?, &self.access, system_environment(), &self.password()?)
    }

    fn show(&self) -> Show {
        self.global.show()
    }
}

fn wrong_use(message: sonae_types::MessageKey, remedy: sonae_types::MessageKey) -> Failure {
    Failure::new(Fault::WrongUse, Message::new(message)).remedy(Message::new(remedy))
}

/// Reads a password file, as plain restic does: white space around the password is not part of it. Errors: unreadable, empty.
fn read_password(path: &Path) -> Result<Password, Failure> {
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::new(
            Fault::WrongUse,
            Message::new(keys::ERROR_PASSWORD_UNREADABLE).with("path", path.display()),
        )
        .remedy(Message::new(keys::REMEDY_PASSWORD_UNREADABLE))
        .because(error)
    })?;
    let password = Password::from_file_bytes(&bytes);
    if password.is_empty() {
        return Err(Failure::new(
            Fault::WrongUse,
            Message::new(keys::ERROR_PASSWORD_EMPTY).with("path", path.display()),
        )
        .remedy(Message::new(keys::REMEDY_PASSWORD_EMPTY)));
    }
    Ok(password)
}

fn vm_name(text: &str) -> Result<VmName, Failure> {
    VmName::parse(text).map_err(|error| {
        Failure::new(Fault::WrongUse, Message::new(keys::ERROR_VM_NAME).with("name", text))
            .remedy(Message::new(keys::REMEDY_VM_NAME))
            .because(error)
    })
}

fn optional_vm(text: Option<&str>) -> Result<Option<VmName>, Failure> {
    text.map(vm_name).transpose()
}
