//! Writes what each target begins with into `corpus/<target>`: the samples of the parsers, and the parts of a repository.

use std::fs;
use std::path::Path;

use sonae_repo::malice::parse::parser;
use sonae_repo::malice::whole::parts;

/// Each target that reads with one parser, and that parser.
const TARGETS: [(&str, &str); 7] = [
    ("header", "pack header"),
    ("index", "index"),
    ("tree", "tree"),
    ("snapshot", "snapshot"),
    ("key_file", "key file"),
    ("unpacked", "unpacked file"),
    ("frame", "frame"),
];

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let samples = TARGETS.map(|(target, name)| (target, (parser(name).samples)()));
    for (target, samples) in samples.into_iter().chain([("repository", parts())]) {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (number, sample) in samples.iter().enumerate() {
            fs::write(folder.join(format!("sample-{number}")), sample)?;
        }
    }
    Ok(())
}
