//! Every fault does what the table says, and nothing else; the record tells what was hit.

use sonae_types::ByteCount;

use super::*;
use crate::MemoryStore;
use crate::testing::{check_contract, sort};

const CONFIG: FileName = FileName::Config;

fn pack(n: u8) -> FileName {
    FileName::Hashed(FileKind::Data, Digest::new([n; 32]))
}

fn listed(n: u8, size: u64) -> Listed {
    Listed { id: Digest::new([n; 32]), size: ByteCount::new(size) }
}

/// A store in memory with pack 1 (`ABCD`) and pack 2 (`EF`), whose first operation breaks.
fn broken(fault: Fault) -> (MemoryStore, FaultStore) {
    let memory = MemoryStore::new();
    memory.put(pack(1), b"ABCD").unwrap();
    memory.put(pack(2), b"EF").unwrap();
    let store = FaultStore::at(Arc::new(memory.clone()), 1, fault);
    (memory, store)
}

fn said<T: fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => sort(&error).to_owned(),
    }
}

/// What each operation answers under the fault, and what is there then; `-` where the fault counted as no hit.
fn row(fault: Fault) -> Vec<String> {
    let range = |store: &FaultStore| {
        let mut into = *b"....";
        let answer = store.get_range(pack(1), 0, &mut into);
        format!("{} {}", said(answer), String::from_utf8_lossy(&into))
    };
    type Operation<'a> = &'a dyn Fn(&FaultStore) -> String;
    let operations: [Operation<'_>; 7] = [
        &|store| said(store.put(pack(3), b"GHIJ")),
        &|store| said(store.get(pack(1)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        &range,
        &|store| said(store.size(pack(1)).map(ByteCount::get)),
        &|store| said(store.stored_at(pack(1))),
        &|store| {
            said(store.list(FileKind::Data).map(|files| files.iter().map(first_byte).collect::<Vec<_>>()))
        },
        &|store| said(store.remove(pack(1))),
    ];
    let cells = operations.map(|operation| {
        let (memory, store) = broken(fault);
        let answer = operation(&store);
        let hits = store.hits();
        assert!(hits.iter().all(|hit| hit.fault == fault && hit.seen.number == 1));
        let there = memory.list(FileKind::Data).unwrap();
        let there = there.iter().map(|file| {
            let bytes = memory.get(FileName::Hashed(FileKind::Data, file.id)).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let there = there.collect::<Vec<_>>().join(",");
        if hits.is_empty() { "-".to_owned() } else { format!("{answer} / {there}") }
    });
    cells.to_vec()
}

fn first_byte(file: &Listed) -> u8 {
    file.id.as_bytes()[0]
}

#[test]
fn keeps_the_contract_of_stores_where_nothing_is_planned() {
    check_contract(FaultStore::calm);
}

#[test]
fn every_fault_does_what_the_table_says() {
    let io = |there: &str| format!("io / {there}");
    let both = "ABCD,EF";
    // put, get, get_range, size, stored_at, list, remove
    let failed = ["io", "io", "io ....", "io", "io", "io", "io"].map(|said| format!("{said} / {both}"));
    assert_eq!(row(Fault::Fail), failed);
    assert_eq!(row(Fault::Full), ["full / ABCD,EF", "-", "-", "-", "-", "-", "-"]);
    let reads = [r#""AB" / ABCD,EF"#, "io AB.. / ABCD,EF", "2 / ABCD,EF", "-", "[1] / ABCD,EF", "-"];
    assert_eq!(row(Fault::Torn)[0], io("ABCD,EF,GH"));
    assert_eq!(row(Fault::Torn)[1..], reads);
    assert_eq!(row(Fault::TornSilently)[0], "() / ABCD,EF,GH");
    assert_eq!(row(Fault::TornSilently)[1..], reads);
    assert_eq!(
        row(Fault::Lost),
        [
            "() / ABCD,EF".to_owned(),
            io(both),
            format!("io ABCD / {both}"),
            io(both),
            io(both),
            io(both),
            format!("() / {both}")
        ]
    );
    assert_eq!(
        row(Fault::Duplicated),
        ["() / ABCD,EF,GHIJ", "-", "-", "-", "-", "[1, 1, 2, 2] / ABCD,EF", "() / EF"]
    );
    assert_eq!(
        row(Fault::BitFlip(9)),
        ["() / ABCD,EF,GJIJ", r#""A@CD" / ABCD,EF"#, "() A@CD / ABCD,EF", "-", "-", "-", "-"]
    );
    assert_eq!(row(Fault::BitFlip(9 + 32)), row(Fault::BitFlip(9)));
    assert_eq!(row(Fault::StaleListing), ["-"; 7]);
}

#[test]
fn what_is_empty_or_fails_by_itself_cannot_be_broken() {
    for fault in [Fault::Torn, Fault::TornSilently, Fault::BitFlip(3), Fault::Duplicated] {
        let store = FaultStore::planned(Arc::new(MemoryStore::new()), move |_seen| Some(fault));
        assert_eq!(sort(&store.get(pack(1)).unwrap_err()), "not found");
        assert_eq!(sort(&store.get_range(pack(1), 0, &mut [0; 4]).unwrap_err()), "not found");
        assert_eq!(sort(&store.remove(pack(1)).unwrap_err()), "not found");
        assert_eq!(store.list(FileKind::Data).unwrap(), []);
        assert_eq!(store.hits(), []);
        store.put(pack(1), b"").unwrap();
        assert_eq!(store.get(pack(1)).unwrap(), b"");
        store.get_range(pack(1), 0, &mut []).unwrap();
        let hit = if fault == Fault::Duplicated { 1 } else { 0 };
        assert_eq!(store.hits().len(), hit, "{fault:?}");
    }
}

#[test]
fn a_duplicated_config_is_put_once() {
    let store = FaultStore::at(Arc::new(MemoryStore::new()), 1, Fault::Duplicated);
    store.put(CONFIG, b"config").unwrap();
    assert_eq!(store.hits().len(), 1);
    assert_eq!(sort(&store.put(CONFIG, b"config").unwrap_err()), "exists");
}

#[test]
fn a_stale_listing_is_that_of_before_and_the_next_one_is_right() {
    let memory = MemoryStore::new();
    for n in 1..=3 {
        memory.put(pack(n), &vec![0; n.into()]).unwrap();
    }
    let stale =
        |seen: &Seen| (seen.verb == Verb::List && seen.number_of_verb == 2).then_some(Fault::StaleListing);
    let store = FaultStore::planned(Arc::new(memory), stale);
    let before = store.list(FileKind::Data).unwrap();
    store.put(pack(4), b"new").unwrap();
    store.remove(pack(4)).unwrap();
    store.put(pack(5), b"new").unwrap();
    store.remove(pack(2)).unwrap();
    store.put(pack(2), b"back, but larger").unwrap();
    store.put(pack(1), b"longer").unwrap();
    store.remove(pack(3)).unwrap();
    assert_eq!(store.list(FileKind::Data).unwrap(), before);
    assert_eq!(store.list(FileKind::Data).unwrap(), [listed(1, 6), listed(2, 16), listed(5, 3)]);
    assert_eq!(store.hits().len(), 1);
}

#[test]
fn a_stale_listing_knows_only_changes_since_the_listing_before() {
    let stale =
        |seen: &Seen| (seen.verb == Verb::List && seen.number_of_verb > 1).then_some(Fault::StaleListing);
    let store = FaultStore::planned(Arc::new(MemoryStore::new()), stale);
    store.put(pack(1), b"old").unwrap();
    assert_eq!(store.list(FileKind::Data).unwrap(), [listed(1, 3)]);
    store.put(pack(2), b"new").unwrap();
    assert_eq!(store.list(FileKind::Key).unwrap(), [], "another kind");
    assert_eq!(store.list(FileKind::Data).unwrap(), [listed(1, 3)]);
    assert_eq!(store.list(FileKind::Data).unwrap(), [listed(1, 3), listed(2, 3)]);
    assert_eq!(store.hits().len(), 1);
}

#[test]
fn a_plan_can_choose_the_second_put_of_an_index() {
    let index = |n: u8| FileName::Hashed(FileKind::Index, Digest::new([n; 32]));
    let plan = |seen: &Seen| {
        let chosen = seen.is(Verb::Put, Subject::Files(FileKind::Index)) && seen.number_of_operation == 2;
        chosen.then_some(Fault::Full)
    };
    let store = FaultStore::planned(Arc::new(MemoryStore::new()), plan);
    store.put(CONFIG, b"config").unwrap();
    store.put(index(1), b"first").unwrap();
    store.get(index(1)).unwrap();
    store.put(pack(1), b"pack").unwrap();
    assert_eq!(sort(&store.put(index(2), b"second").unwrap_err()), "full");
    store.put(index(2), b"second").unwrap();
    let [hit] = store.hits()[..] else { panic!("{:?}", store.hits()) };
    assert_eq!((hit.fault, hit.seen.target), (Fault::Full, Target::File(index(2))));
    let numbers = (hit.seen.number, hit.seen.number_of_verb, hit.seen.number_of_operation);
    assert_eq!(numbers, (5, 4, 2));
    let operation = |verb, subject| Operation { verb, subject };
    let histogram = BTreeMap::from([
        (operation(Verb::Put, Subject::Config), 1),
        (operation(Verb::Put, Subject::Files(FileKind::Data)), 1),
        (operation(Verb::Put, Subject::Files(FileKind::Index)), 3),
        (operation(Verb::Get, Subject::Files(FileKind::Index)), 1),
    ]);
    assert_eq!(store.histogram(), histogram);
    assert_eq!((store.operations(), store.log().len()), (6, 6));
}

#[test]
fn numbers_are_given_out_once_however_many_threads_ask() {
    let store = FaultStore::planned(Arc::new(MemoryStore::new()), |seen| {
        seen.number.is_multiple_of(10).then_some(Fault::Fail)
    });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| drop(store.list(FileKind::Key))));
        }
    });
    let numbers = store.log().iter().map(|seen| seen.number).collect::<Vec<_>>();
    assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
    assert_eq!(store.hits().len(), 80);
}
