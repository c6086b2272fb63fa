//! A real object store for tests: Ceph RADOS Gateway over one monitor and one OSD in memory, on loopback, with users and
//! keys as in production. It takes some twenty seconds to start and ends with whoever started it, however that ends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::host::{self, Running};

/// Key and secret of the one user.
pub const KEY_ID: &str = "rig-key";
/// Its secret.
pub const SECRET: &str = "rig-secret-0123456789abcdef";

const START_LIMIT: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The programs it needs; all come with the packages of Debian.
const PROGRAMS: [&str; 8] =
    ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool", "setpriv"];

/// A gateway that runs. Dropped, it is gone with all it holds.
#[derive(Debug)]
pub struct RadosGateway {
    // In the order in which they end.
    _gateway: Running,
    _osd: Running,
    _mon: Running,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl RadosGateway {
    /// Starts one on ports that are free. Errors: [`host::Missing`]; a part of it does not come up.
    ///
    /// To be called by a thread that lives as long as the gateway shall: the parts are killed when it ends.
    pub fn start() -> Result<Self> {
        for program in PROGRAMS {
            host::find(program)?;
        }
        let folder = tempfile::tempdir()?;
        let [mon_port, mon_port_old, port] = free_ports()?;
        let at = Layout { folder: folder.path() };
        at.write_configuration(mon_port, mon_port_old)?;
        at.make_keys_and_monitor()?;
        let mon = at.daemon("ceph-mon", &["-i", "a", "--mon-data", &at.path("mon")])?;
        at.make_osd()?;
        let osd = at.daemon("ceph-osd", &["-i", "0"])?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        // Without tcp_nodelay every answer waits some 40 ms for an acknowledgement.
        let front = format!("beast endpoint={address} tcp_nodelay=1");
        let data = at.path("rgw");
        let mut gateway =
            at.daemon("radosgw", &["-n", "client.rgw.a", "--rgw-frontends", &front, "--rgw-data", &data])?;
        host::poll_every(LOOK_AGAIN, START_LIMIT, || {
            if let Some(status) = gateway.0.try_wait()? {
                bail!("radosgw ended with {status}: {}", host::tail(&at.log()));
            }
            Ok(answers(address).then_some(()))
        })?
        .context("radosgw did not answer in time")?;
        let user = ["user", "create", "--uid=rig", "--display-name=rig"];
        at.run("radosgw-admin", user.into_iter().chain(["--access-key", KEY_ID, "--secret", SECRET]))?;
        Ok(Self { _gateway: gateway, _osd: osd, _mon: mon, address, folder })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its parts said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        Layout { folder: self.folder.path() }.log()
    }
}

/// The keys as a program's environment.
#[must_use]
pub fn keys() -> Vec<(String, String)> {
    [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// The keys for a program that is started.
pub fn give_keys(command: &mut Command) -> &mut Command {
    command.env("AWS_ACCESS_KEY_ID", KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET);
    for name in ["AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"] {
        command.env_remove(name);
    }
    command
}

struct Layout<'a> {
    folder: &'a Path,
}

impl Layout<'_> {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn write_configuration(&self, mon_port: u16, mon_port_old: u16) -> Result<()> {
        for folder in ["mon", "osd", "rgw", "run"] {
            std::fs::create_dir(self.folder.join(folder))?;
        }
        let [run, mon, osd] = ["run", "mon", "osd"].map(|name| self.path(name));
        let text = format!(
            "[global]\n\
             fsid = {FSID}\n\
             mon host = [v2:127.0.0.1:{mon_port},v1:127.0.0.1:{mon_port_old}]\n\
             public addr = 127.0.0.1\ncluster addr = 127.0.0.1\n\
             keyring = {}\nrun dir = {run}\nadmin socket = {run}/$name.asok\npid file = {run}/$name.pid\n\
             crash dir = {run}\nmon data = {mon}\nosd data = {osd}\n\
             mon data avail crit = 1\nlog to stderr = true\nerr to stderr = true\nlog file =\n\
             mon cluster log to file = false\n\
             osd objectstore = memstore\nmemstore device bytes = 4294967296\n\
             osd pool default size = 1\nosd pool default min size = 1\nmon allow pool size one = true\n\
             osd pool default pg num = 1\nosd pool default pgp num = 1\nmon max pg per osd = 1000\n\
             osd crush chooseleaf type = 0\nmon osd full ratio = 0.99\n",
            self.path("keyring"),
        );
        std::fs::write(self.folder.join("ceph.conf"), text)?;
        Ok(())
    }

    fn make_keys_and_monitor(&self) -> Result<()> {
        let keyring = self.path("keyring");
        let all = "allow *";
        for (name, caps) in [
            ("mon.", vec!["mon", all]),
            ("client.admin", vec!["mon", all, "osd", all, "mgr", all]),
            ("osd.0", vec!["mon", "allow profile osd", "osd", all]),
            ("client.rgw.a", vec!["mon", "allow rw", "osd", "allow rwx"]),
        ] {
            let make = if name == "mon." { vec!["--create-keyring"] } else { vec![] };
            let caps = caps.chunks(2).flat_map(|cap| ["--cap", cap[0], cap[1]]);
            let args = make.into_iter().chain([keyring.as_str(), "--gen-key", "-n", name]).chain(caps);
            self.run_plain("ceph-authtool", args)?;
        }
        let conf = std::fs::read_to_string(self.folder.join("ceph.conf"))?;
        let host = conf.lines().find_map(|line| line.strip_prefix("mon host = ")).unwrap_or_default();
        let map = self.path("monmap");
        self.run_plain("monmaptool", ["--create", "--fsid", FSID, "--addv", "a", host, "--clobber", &map])?;
        self.run("ceph-mon", ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keyring])
    }

    fn make_osd(&self) -> Result<()> {
        let uuid = "6f1d2a5e-0000-4000-8000-0000000000a0";
        self.run("ceph", ["--connect-timeout", "60", "osd", "new", uuid, "0"])?;
        self.run("ceph-osd", ["-i", "0", "--mkfs", "--osd-uuid", uuid])
    }

    /// Starts a part that dies with us, even where we are killed.
    fn daemon(&self, program: &str, args: &[&str]) -> Result<Running> {
        let log = host::append(&self.log())?;
        let mut command = host::program("setpriv")?;
        command.args(["--pdeathsig", "KILL", program, "-f", "-c", &self.path("ceph.conf")]).args(args);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Running(host::spawn(&mut command)?))
    }

    fn run<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let conf = self.path("ceph.conf");
        host::run(host::program(program)?.args(["-c", &conf]).args(args), &self.log())
    }

    fn run_plain<'a>(&self, program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<()> {
        host::run(host::program(program)?.args(args), &self.log())
    }
}

/// The name of this little cluster; it meets no other.
const FSID: &str = "6f1d2a5e-0000-4000-8000-000000000001";

/// Ports that nobody listened on a moment ago, each another one.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

/// Whether something there speaks HTTP.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: rig\r\nConnection: close\r\n\r\n")?;
        let mut first = [0; 5];
        stream.read_exact(&mut first)?;
        Ok(&first == b"HTTP/")
    };
    ask().unwrap_or(false)
}
