//! How fast a disk goes into a distant object store and comes back: `sonae` over a real gateway behind a line on which
//! every request is late.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use sonae_types::ByteCount;

use crate::content::Content;
use crate::damage::folder_in_memory;
use crate::disks::{self, Stretch};
use crate::host;
use crate::proxy::{Line, Proxy, Speed};
use crate::radosgw::{self, RadosGateway};

/// Measures backup and restore of one disk over a line on which every request is late.
#[derive(Debug, Args)]
pub struct DistanceArgs {
    /// How much later each request arrives.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    latency_ms: u64,
    /// Size of the disk, half of it noise and half text.
    #[arg(long, value_name = "MIB", default_value_t = 1_024)]
    mib: u64,
}

/// Measures, and prints one JSON document.
pub fn run(args: &DistanceArgs, program: &Path) -> Result<()> {
    let folder = folder_in_memory()?;
    let gateway = RadosGateway::start()?;
    let line = Line { latency: Duration::from_millis(args.latency_ms), speed: Speed::Full };
    let proxy = Proxy::plain(gateway.address(), line)?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("password"), "distance\n")?;
    let part = ByteCount::mib(args.mib.div_ceil(4));
    disks::make(
        &at("disk"),
        &[Stretch::Noise(1, part), Stretch::Text(2, part), Stretch::Noise(3, part), Stretch::Text(4, part)],
    )?;
    let size = ByteCount::new(std::fs::metadata(at("disk"))?.len());
    let sonae = |arguments: &[&OsStr]| -> Result<(Value, Duration, u64)> {
        let mut command = host::command(program);
        let requests = proxy.requests();
        radosgw::give_keys(&mut command).args(["--json", "--quiet", "--password-file"]).arg(at("password"));
        command.arg("--repo").arg(format!("s3:http://{}/distance", proxy.address())).args(arguments);
        let watch = host::Stopwatch::start();
        let document = ended(&mut command)?;
        Ok((document, watch.elapsed(), proxy.requests() - requests))
    };
    let words = |text: &'static str| text.split(' ').map(OsStr::new).collect::<Vec<_>>();
    sonae(&words("repo init"))?;
    let mut disk = std::ffi::OsString::from("vda=");
    disk.push(at("disk"));
    let backup = [words("backup --vm distant --disk"), vec![&disk]].concat();
    let (_, backup_span, backup_requests) = sonae(&backup)?;
    let target = at("restored");
    let restore = [words("restore latest --vm distant --disk vda --to"), vec![target.as_os_str()]].concat();
    let (_, restore_span, restore_requests) = sonae(&restore)?;
    ensure!(Content::of(&at("disk"))? == Content::of(&target)?, "the restored disk is another one");
    let rate = |span: Duration| (size.get() as f64 / 1e6 / span.as_secs_f64()).round();
    let report = json!({
        "latency_ms": args.latency_ms,
        "disk_bytes": size,
        "backup_ms": u64::try_from(backup_span.as_millis())?,
        "backup_megabytes_per_second": rate(backup_span),
        "backup_requests": backup_requests,
        "restore_ms": u64::try_from(restore_span.as_millis())?,
        "restore_megabytes_per_second": rate(restore_span),
        "restore_requests": restore_requests,
    });
    Ok(writeln!(std::io::stdout(), "{report}")?)
}

fn ended(command: &mut Command) -> Result<Value> {
    let ended = command.stdin(Stdio::null()).output().context("cannot start sonae")?;
    let said = String::from_utf8_lossy(&ended.stdout);
    ensure!(ended.status.success(), "sonae ended with {}: {said}", ended.status);
    serde_json::from_str(&said).context("sonae answers in JSON")
}
