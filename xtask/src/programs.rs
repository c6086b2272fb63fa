//! Building what is measured, the way users get it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::host;

/// Builds packages with plain `--release` and gives the folder of their programs.
pub(crate) fn build(target: &Path, packages: &[&str]) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--release"];
    arguments.extend(packages.iter().flat_map(|package| ["-p", package]));
    host::say("building with --release");
    let ran = host::cargo_shown(&arguments, |line| line.starts_with("error"))?;
    ensure!(ran.good, "the build failed: {}", ran.lines.last().map_or("", String::as_str));
    Ok(target.join("release"))
}

/// Where cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let text = host::cargo_output(&["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: serde_json::Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    match metadata.get("target_directory").and_then(serde_json::Value::as_str) {
        Some(folder) => Ok(folder.into()),
        None => bail!("cargo metadata names no target directory"),
    }
}
