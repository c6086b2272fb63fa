//! The room table of ARCHITECTURE.md against the workspace: which rooms there are and which arrows between them.

use super::metadata::Metadata;
use super::tree::Tree;
use super::{Report, words};

const PATH: &str = "ARCHITECTURE.md";
const HEADING: [&str; 6] = ["room", "state", "one sentence", "may depend on", "may touch", "must never"];

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    name: String,
    line: usize,
    state: String,
    may_depend_on: Allowed,
}

/// Which other rooms a room may depend on.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    Anything,
    Only(Vec<String>),
}

pub(super) fn check(tree: &Tree, metadata: &Metadata, report: &mut Report) {
    let rooms = parse(tree.content(PATH).unwrap_or_default());
    if rooms.is_empty() {
        report.find(PATH, None, format!("has no room table with the columns {}", HEADING.join(", ")));
        return;
    }
    check_states(&rooms, metadata, report);
    for package in &metadata.packages {
        let Some(room) = rooms.iter().find(|room| room.name == package.name) else { continue };
        let Allowed::Only(allowed) = &room.may_depend_on else { continue };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.is_arrow()) {
            if !allowed.contains(&dependency.name) {
                let what =
                    format!("`{}` depends on `{}`, which its row does not allow", room.name, dependency.name);
                report.find(PATH, Some(room.line), what);
            }
        }
    }
}

fn check_states(rooms: &[Room], metadata: &Metadata, report: &mut Report) {
    for package in &metadata.packages {
        if !rooms.iter().any(|room| room.name == package.name) {
            report.find(PATH, None, format!("the crate `{}` is no room of the table", package.name));
        }
    }
    for room in rooms {
        let exists = metadata.packages.iter().any(|package| package.name == room.name);
        match (room.state.as_str(), exists) {
            ("here", true) | ("planned", false) => {}
            ("here", false) => report.find(PATH, Some(room.line), format!("`{}` is not here", room.name)),
            ("planned", true) => {
                report.find(PATH, Some(room.line), format!("`{}` is here and no longer planned", room.name));
            }
            (other, _) => {
                report.find(PATH, Some(room.line), format!("{other:?} is no state: write here or planned"));
            }
        }
        let Allowed::Only(allowed) = &room.may_depend_on else { continue };
        for name in allowed.iter().filter(|name| !rooms.iter().any(|room| room.name == **name)) {
            report.find(
                PATH,
                Some(room.line),
                format!("`{}` may depend on `{name}`, which is no room", room.name),
            );
        }
    }
    let planned: Vec<_> =
        rooms.iter().filter(|room| room.state == "planned").map(|room| room.name.as_str()).collect();
    if !planned.is_empty() {
        report.note(format!("planned rooms: {}", planned.join(", ")));
    }
}

fn parse(text: &str) -> Vec<Room> {
    let mut rows = words::rows(text).skip_while(|(_, cells)| cells.as_slice() != HEADING);
    rows.by_ref()
        .skip(2)
        .map_while(|(line, cells)| {
            let [name, state, _, may_depend_on, ..] = cells.as_slice() else { return None };
            let name = name.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            Some(Room {
                name,
                line,
                state: (*state).to_owned(),
                may_depend_on: Allowed::parse(may_depend_on),
            })
        })
        .collect()
}

impl Allowed {
    fn parse(cell: &str) -> Self {
        match cell {
            "anything" => Self::Anything,
            "–" => Self::Only(Vec::new()),
            list => Self::Only(list.split(',').map(|name| format!("sonae-{}", name.trim())).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::workspace;
    use super::super::tests::found;
    use super::*;

    const TABLE: &str = "# Rooms\n\n| room | state | one sentence | may depend on | may touch | must never |\n\
        |---|---|---|---|---|---|\n| `sonae-types` | here | words | – | std | decide |\n\
        | `sonae-repo` | here | repository | types | stores | know owners |\n\
        | `sonae-db` | planned | memory | types | SQL | decide |\n| `sonae-rig` | here | rig | anything | all | ship |\n";

    fn check_with(table: &str, crates: &[(&str, &[&str])]) -> Vec<String> {
        found(|report| check(&Tree::of(&[(PATH, table)]), &workspace(crates), report))
    }

    #[test]
    fn a_workspace_as_the_table_says_is_fine() {
        let crates: &[(&str, &[&str])] =
            &[("sonae-types", &[]), ("sonae-repo", &["sonae-types"]), ("sonae-rig", &["sonae-repo"])];
        assert!(check_with(TABLE, crates).is_empty());
    }

    #[test]
    fn an_arrow_that_the_table_does_not_allow_is_found() {
        let crates: &[(&str, &[&str])] =
            &[("sonae-types", &["sonae-repo"]), ("sonae-repo", &["sonae-types"]), ("sonae-rig", &[])];
        assert_eq!(
            check_with(TABLE, crates),
            ["ARCHITECTURE.md:5: `sonae-types` depends on `sonae-repo`, which its row does not allow"]
        );
    }

    #[test]
    fn rooms_and_crates_that_do_not_match_are_found() {
        let crates: &[(&str, &[&str])] =
            &[("sonae-types", &[]), ("sonae-db", &[]), ("sonae-x", &[]), ("sonae-rig", &[])];
        let found = check_with(TABLE, crates);
        assert!(
            found.contains(&"ARCHITECTURE.md: the crate `sonae-x` is no room of the table".into()),
            "{found:?}"
        );
        assert!(found.contains(&"ARCHITECTURE.md:6: `sonae-repo` is not here".into()), "{found:?}");
        assert!(
            found.contains(&"ARCHITECTURE.md:7: `sonae-db` is here and no longer planned".into()),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_table_an_unknown_state_and_an_unknown_room_are_found() {
        assert_eq!(check_with("# Nothing\n", &[]).len(), 1);
        let table =
            TABLE.replace("| planned |", "| soon |").replace("| types | stores", "| types, x | stores");
        let crates: &[(&str, &[&str])] = &[("sonae-types", &[]), ("sonae-repo", &[]), ("sonae-rig", &[])];
        let found = check_with(&table, crates).join("\n");
        assert!(
            found.contains("\"soon\" is no state") && found.contains("`sonae-x`, which is no room"),
            "{found}"
        );
    }
}
