//! `--limit NAME=VALUE,...`: what a jar may take.

use crate::failure::Failure;
use model::Limits;

/// Every name there is, and what its value counts.
const NAMES: [(&str, Unit); 8] = [
    ("mem", Unit::Bytes),
    ("pids", Unit::Number),
    ("cpu", Unit::Time),
    ("time", Unit::Time),
    ("disk", Unit::Bytes),
    ("output", Unit::Bytes),
    ("fds", Unit::Number),
    ("files", Unit::Number),
];

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Number,
    Time,
}

/// Reads the values of `--limit`. A name given twice: the last one counts.
pub(crate) fn limits(given: &[String]) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    for one in given.iter().flat_map(|given| given.split(',')) {
        let (name, value) = one.split_once('=').ok_or_else(|| wrong(one, "is no NAME=VALUE"))?;
        let unit = NAMES.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit);
        let value = unit.ok_or_else(|| wrong(one, "names no limit")).and_then(|unit| {
            let read = number(value, unit).filter(|value| *value > 0);
            read.ok_or_else(|| wrong(one, unit.wants()))
        })?;
        match name {
            "disk" => limits.disk = Some(value),
            "files" => limits.files = Some(value),
            "mem" => limits.memory = Some(value),
            "pids" => limits.processes = Some(value),
            "cpu" => limits.cpu_s = Some(value),
            "time" => limits.wall_s = Some(value),
            "fds" => limits.open_files = Some(value),
            "output" => limits.output = Some(value),
            _ => return Err(wrong(one, "names no limit")),
        }
    }
    Ok(limits)
}

impl Unit {
    fn wants(self) -> &'static str {
        match self {
            Unit::Bytes => "wants bytes above 0, as in 512M, 10G",
            Unit::Number => "wants a number above 0",
            Unit::Time => "wants a time above 0, as in 30s, 20m, 2h",
        }
    }

    /// Letters behind a number and what they multiply it by.
    fn suffixes(self) -> &'static [(char, u64)] {
        match self {
            Unit::Bytes => &[('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)],
            Unit::Number => &[],
            Unit::Time => &[('s', 1), ('m', 60), ('h', 3_600)],
        }
    }
}

fn number(text: &str, unit: Unit) -> Option<u64> {
    let suffix = unit.suffixes().iter().find(|(letter, _)| text.ends_with(*letter));
    let (digits, factor) = match suffix {
        Some((letter, factor)) => (text.strip_suffix(*letter)?, *factor),
        None => (text, 1),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(factor)
}

fn wrong(given: &str, why: &str) -> Failure {
    Failure::Usage {
        message: format!("--limit {} {why}", model::escape::text(given)),
        hint: "as in --limit mem=4G,pids=512,cpu=10m,time=20m,disk=10G,files=100000,fds=1024,output=64M".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[&str]) -> Result<(Option<u64>, Option<u64>), String> {
        let given: Vec<String> = given.iter().map(|text| (*text).to_owned()).collect();
        limits(&given).map(|limits| (limits.disk, limits.files)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn sizes_and_numbers() {
        assert_eq!(read(&[]), Ok((None, None)));
        assert_eq!(read(&["disk=10G,files=100000"]), Ok((Some(10 << 30), Some(100_000))));
        assert_eq!(read(&["disk=4096", "disk=1K"]), Ok((Some(1_024), None)));
    }

    #[test]
    fn every_limit_has_a_name() {
        let given = ["mem=4G,pids=512,cpu=10m,time=2h,disk=1K,files=7,fds=1024,output=64M".to_owned()];
        let expected = Limits {
            memory: Some(4 << 30),
            processes: Some(512),
            cpu_s: Some(600),
            wall_s: Some(7200),
            output: Some(64 << 20),
            disk: Some(1024),
            files: Some(7),
            open_files: Some(1024),
        };
        assert_eq!(limits(&given).unwrap(), expected);
    }

    #[test]
    fn nothing_is_silently_ignored() {
        for wrong in [
            "disk",
            "disk=",
            "disk=0",
            "disk=-1",
            "disk=+1",
            "disk=1X",
            "disk=1g",
            "files=1K",
            "files=1.5",
            "nope=1",
            "",
            "disk=1G,,files=1",
            "disk=99999999999T",
            "disk=1\u{202e}",
        ] {
            let told = read(&[wrong]).unwrap_err();
            assert!(told.starts_with("--limit ") && !told.contains('\u{202e}'), "{wrong}: {told}");
        }
    }
}
