//! The invented resident register: rows from a seed, a SQLite file from rows.
//!
//! Nobody in it exists. Names are put together by chance, every city is 架空 ("made up"), and every personal number
//! has a wrong check digit, so that none can belong to anyone.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context;

use super::random::Random;
use crate::host;

const FAMILY: [&str; 40] = [
    "佐藤",
    "鈴木",
    "高橋",
    "田中",
    "伊藤",
    "渡辺",
    "山本",
    "中村",
    "小林",
    "加藤",
    "吉田",
    "山田",
    "佐々木",
    "山口",
    "松本",
    "井上",
    "木村",
    "林",
    "斎藤",
    "清水",
    "山崎",
    "森",
    "池田",
    "橋本",
    "阿部",
    "石川",
    "山下",
    "中島",
    "石井",
    "小川",
    "前田",
    "岡田",
    "長谷川",
    "藤田",
    "後藤",
    "近藤",
    "村上",
    "遠藤",
    "青木",
    "坂本",
];
const GIVEN: [&str; 30] = [
    "太郎",
    "花子",
    "一郎",
    "次郎",
    "美咲",
    "翔太",
    "陽菜",
    "結衣",
    "大輔",
    "健一",
    "直樹",
    "裕子",
    "恵子",
    "幸子",
    "和子",
    "洋子",
    "明美",
    "由美子",
    "久美子",
    "智子",
    "蓮",
    "陽翔",
    "悠真",
    "湊",
    "葵",
    "凛",
    "紬",
    "芽依",
    "莉子",
    "咲良",
];
const READING: [&str; 20] = [
    "サトウ",
    "スズキ",
    "タカハシ",
    "タナカ",
    "イトウ",
    "ワタナベ",
    "ヤマモト",
    "ナカムラ",
    "コバヤシ",
    "カトウ",
    "ヨシダ",
    "ヤマダ",
    "ササキ",
    "ヤマグチ",
    "マツモト",
    "イノウエ",
    "キムラ",
    "ハヤシ",
    "サイトウ",
    "シミズ",
];
const PREFECTURE: [&str; 20] = [
    "北海道",
    "青森県",
    "岩手県",
    "宮城県",
    "秋田県",
    "山形県",
    "福島県",
    "茨城県",
    "栃木県",
    "群馬県",
    "埼玉県",
    "千葉県",
    "東京都",
    "神奈川県",
    "新潟県",
    "富山県",
    "石川県",
    "福井県",
    "山梨県",
    "長野県",
];
const TOWN: [&str; 24] = [
    "中央",
    "本町",
    "栄町",
    "旭町",
    "緑ヶ丘",
    "桜木",
    "東町",
    "西町",
    "南町",
    "北町",
    "新町",
    "若葉台",
    "希望が丘",
    "大手町",
    "幸町",
    "泉",
    "港町",
    "松原",
    "上野",
    "下田",
    "川端",
    "神明",
    "天神",
    "八幡",
];
const NOTE: [&str; 10] =
    ["転入", "転出", "出生", "婚姻", "世帯変更", "職権記載", "住所変更", "カード交付", "印鑑登録", ""];
/// Bytes that one row and its index entry take in the file, measured on a large one.
const ROW_BYTES: u64 = 170;

/// Appends one row as a line of tab-separated fields.
fn row(line: &mut String, id: u64, random: &mut Random) {
    let (family, given) = (random.pick(&FAMILY), random.pick(&GIVEN));
    let born = (1930 + random.below(90), 1 + random.below(12), 1 + random.below(28));
    let city = (random.pick(&PREFECTURE), random.pick(&TOWN), random.pick(&TOWN));
    let place = (1 + random.below(9), 1 + random.below(40), 1 + random.below(30));
    writeln!(
        line,
        "{id}\t{number:012}\t{family}　{given}\t{reading}\t{}-{:02}-{:02}\t{sex}\t{}{}架空市{}{}丁目{}番{}号\t{:03}-{:04}\t{tax}\t{note}",
        born.0, born.1, born.2, city.0, city.1, city.2, place.0, place.1, place.2,
        random.below(1000), random.below(10_000),
        number = personal_number(random.below(100_000_000_000)),
        reading = random.pick(&READING),
        sex = random.pick(&["男", "女"]),
        tax = random.below(5_000_000),
        note = random.pick(&NOTE),
    )
    .expect("writing to a string cannot fail");
}

/// Eleven digits and a check digit that is one too high.
fn personal_number(digits: u64) -> u64 {
    digits * 10 + (check_digit(digits) + 1) % 10
}

/// The check digit of eleven digits, as the ordinance on individual numbers defines it.
fn check_digit(digits: u64) -> u64 {
    let (mut sum, mut rest) = (0, digits);
    for place in 1..=11 {
        let weight = if place <= 6 { place + 1 } else { place - 5 };
        sum += (rest % 10) * weight;
        rest /= 10;
    }
    match sum % 11 {
        0 | 1 => 0,
        remainder => 11 - remainder,
    }
}

/// Writes a register of about `size_bytes` to `path`; what sqlite3 says goes to the log.
pub(crate) fn write(path: &Path, size_bytes: u64, random: &mut Random, log: &Path) -> anyhow::Result<()> {
    let (rows, script) = (path.with_extension("tsv"), path.with_extension("sql"));
    write_rows(&rows, size_bytes / ROW_BYTES, random)
        .with_context(|| format!("cannot write the rows of the register to {}", rows.display()))?;
    let text = format!(
        "PRAGMA page_size=4096;\nPRAGMA journal_mode=OFF;\nPRAGMA synchronous=OFF;\n\
         CREATE TABLE resident(id INTEGER PRIMARY KEY,my_number TEXT,name TEXT,kana TEXT,birth TEXT,sex TEXT,\
         address TEXT,zip TEXT,tax INTEGER,note TEXT);\n.mode tabs\n.import '{}' resident\n\
         CREATE INDEX by_number ON resident(my_number);\n",
        rows.display()
    );
    std::fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
    let read = format!(".read '{}'", script.display());
    host::run(host::program("sqlite3")?.arg("-bail").arg(path).arg(read), log)?;
    for file in [rows, script] {
        std::fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

fn write_rows(path: &Path, rows: u64, random: &mut Random) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut line = String::new();
    for id in 0..rows {
        line.clear();
        row(&mut line, id, random);
        file.write_all(line.as_bytes())?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seed: u64) -> String {
        let mut text = String::new();
        let mut random = Random::of(seed, "register", 1);
        for id in 0..200 {
            row(&mut text, id, &mut random);
        }
        text
    }

    #[test]
    fn the_same_seed_gives_the_same_rows() {
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn every_row_has_ten_fields_and_an_invented_city() {
        for line in rows(3).lines() {
            assert_eq!(line.split('\t').count(), 10, "{line}");
            assert!(line.contains("架空市"), "{line}");
        }
    }

    #[test]
    fn the_check_digit_is_the_one_of_the_ordinance() {
        // The example that the ministry prints on its specimen card: 1234 5678 9018.
        assert_eq!(check_digit(12_345_678_901), 8);
    }

    #[test]
    fn no_personal_number_can_be_real() {
        for line in rows(4).lines() {
            let number: u64 = line.split('\t').nth(1).expect("a second field").parse().expect("digits");
            assert_ne!(check_digit(number / 10), number % 10, "{line}");
        }
    }
}
