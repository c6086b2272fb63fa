//! A guest whose QEMU keeps a record of what it writes, and hands it over as maps of changes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::host;
use crate::qemu::{Guest, Machine, PATIENCE};
use crate::qmp::Qmp;
use crate::register::RowCount;

const BITMAP: &str = "sonae";

/// A running guest whose writes are recorded from its first instruction on.
#[derive(Debug)]
pub struct Recorded {
    guest: Guest,
    qmp: Qmp,
    folder: PathBuf,
    log: PathBuf,
}

/// What a guest left when it switched itself off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Rows of its register.
    pub rows: RowCount,
    /// Offset and length of every stretch it wrote to, disk by disk.
    pub written: [Vec<(u64, u64)>; 2],
}

impl Recorded {
    /// Starts a guest that waits until the record has begun. Its sockets lie in `folder`, whose path must be short.
    pub fn start(machine: &Machine<'_>, folder: &Path) -> Result<Self> {
        let socket = folder.join("qmp");
        let guest = machine.start_paused(&socket)?;
        let mut qmp = Qmp::connect(&socket)?;
        for node in 0..machine.disks.len() {
            let bitmap = json!({ "node": node_name(node), "name": BITMAP });
            qmp.execute("block-dirty-bitmap-add", &bitmap)?;
        }
        qmp.execute("cont", &json!({}))?;
        Ok(Self { guest, qmp, folder: folder.to_owned(), log: machine.log.to_owned() })
    }

    /// The guest itself.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// Has the guest switch itself off, asks QEMU what was written, and ends QEMU.
    pub fn power_off(mut self) -> Result<Record> {
        let rows = self.guest.switch_off()?;
        let down = host::poll(PATIENCE, || {
            let status = self.qmp.execute("query-status", &json!({}))?;
            Ok((status["status"] == "shutdown").then_some(()))
        })?;
        down.context("the guest did not switch off")?;
        let socket = self.folder.join("nbd");
        let address = json!({ "addr": { "type": "unix", "data": { "path": socket } } });
        self.qmp.execute("nbd-server-start", &address)?;
        let written = [self.written(0, &socket)?, self.written(1, &socket)?];
        self.qmp.execute("quit", &json!({}))?;
        self.guest.ended()?;
        Ok(Record { rows, written })
    }

    /// The stretches of a disk that its bitmap marks, read as any backup program could: over NBD.
    fn written(&mut self, node: usize, socket: &Path) -> Result<Vec<(u64, u64)>> {
        let name = node_name(node);
        let bitmap = json!({ "node": name, "name": BITMAP });
        // One that is in use is still recording, which an export for readers refuses.
        self.qmp.execute("block-dirty-bitmap-disable", &bitmap)?;
        let export =
            json!({ "type": "nbd", "id": name, "node-name": name, "name": name, "bitmaps": [BITMAP] });
        self.qmp.execute("block-export-add", &export)?;
        let mut map = host::command(&host::find("qemu-img")?);
        let path = socket.display();
        map.args(["map", "--output=json", "--image-opts"]).arg(format!(
            "driver=nbd,server.type=unix,server.path={path},export={name},x-dirty-bitmap=qemu:dirty-bitmap:{BITMAP}"
        ));
        let said = host::output(&mut map, &self.log)?;
        let extents =
            serde_json::from_slice::<Vec<Extent>>(&said).context("qemu-img map answers something else")?;
        ensure!(!extents.is_empty(), "qemu-img map tells nothing of {name}");
        // Read through a bitmap, what is marked comes as a hole, and the rest as data.
        Ok(extents.iter().filter(|extent| !extent.data).map(|extent| (extent.start, extent.length)).collect())
    }
}

#[derive(serde::Deserialize)]
struct Extent {
    start: u64,
    length: u64,
    data: bool,
}

/// The name of a disk's node inside QEMU.
pub(crate) fn node_name(number: usize) -> String {
    format!("n{number}")
}
